// Copies text.

import { showToast } from "./toasts.js";
import { texts } from "../texts.js";

export async function copy(text) {
  try {
    await write(text);
    showToast(texts.copied);
  } catch {
    showToast(texts.errors.copy);
  }
}

/** Browsers offer the clipboard only to pages with TLS or on this machine. Elsewhere, the old way works. */
async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = Object.assign(document.createElement("textarea"), { value: text, className: "hidden" });
  const focused = document.activeElement;
  // Outside an open dialog, the field could not be focused.
  (focused?.closest("dialog, .viewer") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused?.focus();
  if (!done) throw new Error("the browser refused to copy");
}
