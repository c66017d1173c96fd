// The menu for uploads: the file picker, and what applies to the next files.

import { html, observer } from "../ui/html.js";
import { icon } from "../ui/icons.js";
import { MENU } from "../ui/menus.js";
import { addFiles } from "./sources.js";
import { options, setOptions } from "./queue.js";
import { texts } from "../texts.js";

const words = texts.upload;

export const UploadMenu = observer(() => {
  const { visibility, tags } = options.value;
  return html`<details class="menu" name=${MENU}>
    <summary class="button" aria-label=${words.upload}>${icon("upload")} <span class="wide-only">${words.upload}</span></summary>
    <div class="menu-panel">
      <${FilePicker} />
      <p class="hint">${words.hint}</p>
      <label>
        ${words.visibility}
        <select value=${visibility} onChange=${(event) => setOptions({ visibility: event.currentTarget.value })}>
          <option value="public">${texts.details.public}</option>
          <option value="private">${texts.details.private}</option>
        </select>
      </label>
      <label>
        ${words.tags}
        <input value=${tags} autocomplete="off" onInput=${(event) => setOptions({ tags: event.currentTarget.value })} />
      </label>
    </div>
  </details>`;
});

/** A button that opens the file picker, and closes the menu that it is in. */
export function FilePicker({ label = words.choose }) {
  const pick = (event) => {
    const input = event.currentTarget;
    const files = [...input.files];
    // The same file can be chosen again.
    input.value = "";
    input.closest("details")?.removeAttribute("open");
    addFiles(files);
  };
  return html`<label class="button file-picker">
    ${label}
    <input class="hidden" type="file" accept="image/*" multiple onChange=${pick} />
  </label>`;
}
