// The page for visitors: the pictures of a share or a public collection, and perhaps a button to add some.

import { html, observer } from "../ui/html.js";
import { Toasts } from "../ui/toasts.js";
import { Gallery } from "../gallery/gallery.js";
import { DropSign, UploadPanel } from "../upload/panel.js";
import { PickButton } from "../upload/menu.js";
import { guestImagesLeft } from "../upload/queue.js";
import { visitor } from "./visitor.js";
import { texts } from "../texts.js";

export function VisitorShell() {
  return html`<a class="skip-link" href="#content">${texts.skipToContent}</a>
    <header class="bar">
      <h1 class="brand">${visitor.title}</h1>
      <div class="spacer"></div>
      <${GuestButton} />
    </header>
    <${Gallery} />
    ${visitor.guestImages > 0 && html`<${UploadPanel} /> <${DropSign} />`} <${Toasts} />`;
}

const GuestButton = observer(() => guestImagesLeft.value > 0 && html`<${PickButton} label=${texts.visitor.add(guestImagesLeft.value)} />`);
