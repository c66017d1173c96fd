// A dialog that asks before something is done that cannot be undone.

import { html } from "./html.js";
import { Dialog } from "./dialog.js";
import { texts } from "../texts.js";

/** `action`: the name of what `onConfirm` does. */
export function Question({ title, text, action, onConfirm, onClose }) {
  const submit = (event) => {
    event.preventDefault();
    onConfirm();
    onClose();
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      <p>${text}</p>
      <div class="actions">
        <button type="button" class="text-button" onClick=${onClose}>${texts.edit.cancel}</button>
        <button type="submit" class="button danger">${action}</button>
      </div>
    </form>
  <//>`;
}
