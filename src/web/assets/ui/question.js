// A dialog that asks before something is done that cannot be undone.

import { FormDialog } from "./form.js";
import { html } from "./html.js";

/** `action`: the name of what `onConfirm` does. */
export function Question({ action, onConfirm, ...dialog }) {
  // The dialog does not wait for it.
  const send = async () => void onConfirm();
  return html`<${FormDialog} submit=${action} isDanger=${true} send=${send} onDone=${() => {}} ...${dialog} />`;
}
