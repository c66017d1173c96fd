// Short messages at the bottom of the page, some with an action such as Undo. Screen readers announce them.

import { signal } from "../vendor/signals-core/signals-core.module.js";
import { html, observer } from "./html.js";

const SHOWN_MS = 8000;
/** How long messages stay that someone has just used. */
const STAYING_MS = 3000;

const toasts = signal([]);
let lastId = 0;

/** Shows a message. `action`: `{ label, run }`. */
export function showToast(message, action = null) {
  const toast = { id: ++lastId, message, action };
  toasts.value = [...toasts.value, toast];
  setTimeout(() => expire(toast), SHOWN_MS);
}

/** Removes a message, unless someone is about to use one: the others would move. */
function expire(toast) {
  if (document.querySelector(".toasts:is(:hover, :focus-within)")) setTimeout(() => expire(toast), STAYING_MS);
  else dismiss(toast);
}

function dismiss(toast) {
  toasts.value = toasts.value.filter((other) => other !== toast);
}

export const Toasts = observer(
  () => html`<div class="toasts" role="status" aria-live="polite">
    ${toasts.value.map(
      (toast) => html`<div key=${toast.id} class="toast">
        <span>${toast.message}</span>
        ${toast.action && html`<button class="text-button" onClick=${() => act(toast)}>${toast.action.label}</button>`}
      </div>`,
    )}
  </div>`,
);

function act(toast) {
  dismiss(toast);
  toast.action.run();
}
