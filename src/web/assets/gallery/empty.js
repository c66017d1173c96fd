// What the gallery shows without pictures: how to get the first one, or which filters to remove.

import { html, observer } from "../ui/html.js";
import { icon } from "../ui/icons.js";
import { copy } from "../ui/clipboard.js";
import { clearFilters, filters } from "./filters.js";
import { isTrash } from "./source.js";
import { base } from "../server.js";
import { identity, user } from "../session.js";
import { FilePicker } from "../upload/menu.js";
import { uploads } from "../upload/sources.js";
import { texts } from "../texts.js";
import { visitor } from "../visitor/visitor.js";

const words = texts.gallery;

export const Empty = observer(() => {
  if (visitor) return html`<div class="notice"><p>${texts.visitor.empty}</p></div>`;
  if (isTrash.value) return html`<div class="notice"><p>${texts.trash.empty}</p></div>`;
  const { scope, values } = filters.value;
  if (Object.keys(values).length > 0) {
    return html`<div class="notice">
      <p>${words.noResults}</p>
      <button class="button" onClick=${clearFilters}>${words.clearFilters}</button>
    </div>`;
  }
  const command = uploadCommand();
  // A file would have to wait for the account.
  const isSignedOut = identity === "account" && !user.value;
  return html`<div class="notice">
    <h1>${scope === "mine" ? words.emptyMine : words.emptyEveryone}</h1>
    ${isSignedOut
      ? html`<p>${words.signIn}</p> <button class="button" onClick=${() => uploads.askWho()}>${texts.nav.signIn}</button>`
      : html`<p>${words.drop}</p> <${FilePicker} />`}
    <p>${words.command}</p>
    <pre tabindex="0">${command}</pre>
    <button class="text-button" onClick=${() => copy(command)}>${icon("copy")} ${words.copy}</button>
  </div>`;
});

function uploadCommand() {
  const who = user.value?.id ?? "ann";
  const credentials = identity === "account" ? ["-u", user.value?.email ?? "ann@example.org"] : ["-H", `X-User-Id: ${who}`];
  return ["curl", credentials[0], quoted(credentials[1]), "-F file=@picture.jpg", new URL("images", base)].join(" ");
}

/** Quotes an argument for a shell: e-mail addresses can contain characters that it would interpret. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
