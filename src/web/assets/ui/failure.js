// What a page says in place of something that could not be loaded.

import { html } from "./html.js";
import { texts } from "../texts.js";

export function Failure({ message, onRetry }) {
  return html`<div class="notice" role="alert">
    <p>${message}</p>
    <button class="button" onClick=${onRetry}>${texts.gallery.retry}</button>
  </div>`;
}
