// What the page for visitors has above its pictures: the title, and how to add some.

import { html, observer } from "../ui/html.js";
import { total } from "../gallery/tiles.js";
import { FilePicker } from "../upload/menu.js";
import { guestImagesLeft } from "../upload/queue.js";
import { visitor } from "./visitor.js";
import { texts } from "../texts.js";

const words = texts.visitor;

export const VisitorHead = observer(() => {
  const left = guestImagesLeft.value;
  return html`<div class="summary">
      <h1>${visitor.title}</h1>
      <p role="status">${total.value > 0 && texts.gallery.total(total.value)}</p>
      <div class="spacer"></div>
      ${left > 0 && html`<${FilePicker} label=${words.add} />`}
    </div>
    ${visitor.guestImages && html`<p class="explanation">${left > 0 ? `${words.left(left)} ${words[visitor.guestVisibility]}` : words.full}</p>`}`;
});
