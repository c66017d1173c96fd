// The gallery: the pictures that match the filters, or what to do if there are none.

import { html, observer } from "../ui/html.js";
import { Chips } from "./filter_panel.js";
import { Grid } from "./grid.js";
import { Empty } from "./empty.js";
import { SelectionBar } from "./selection_bar.js";
import { failure, isTrash, retry, status, tiles, total } from "./tiles.js";
import { start, startFailure } from "../session.js";
import { date } from "../format.js";
import { texts } from "../texts.js";

const words = texts.gallery;

export const Gallery = observer(() => {
  const isEmpty = status.value === "complete" && tiles.value.length === 0;
  return html`<main id="content" tabindex="-1" aria-label=${words.label}>
    <div class="summary">
      ${isTrash.value ? html`<h1>${texts.trash.title}</h1>` : html`<${Chips} />`}
      <p role="status">${total.value > 0 && words.total(total.value)}</p>
    </div>
    ${isTrash.value && tiles.value.length > 0 && html`<p class="explanation">${texts.trash.explanation(date(tiles.value.at(-1).purged_after))}</p>`}
    ${isEmpty ? html`<${Empty} />` : html`<${Grid} />`} <${Progress} />
    <${SelectionBar} />
  </main>`;
});

const Progress = observer(() => {
  if (startFailure.value) return html`<${Failure} message=${startFailure.value} onRetry=${start} />`;
  if (status.value === "loading") return html`<p class="progress" role="status">${words.loading} …</p>`;
  if (status.value !== "failed") return null;
  const what = tiles.value.length > 0 ? words.moreFailed : words.loadFailed;
  return html`<${Failure} message=${`${what} ${failure.value}`} onRetry=${retry} />`;
});

function Failure({ message, onRetry }) {
  return html`<div class="notice" role="alert">
    <p>${message}</p>
    <button class="button" onClick=${onRetry}>${words.retry}</button>
  </div>`;
}
