// The gallery: the pictures that match the filters, or what to do if there are none.

import { Failure } from "../ui/failure.js";
import { html, observer } from "../ui/html.js";
import { Chips } from "./filter_panel.js";
import { filters, setScope } from "./filters.js";
import { Grid } from "./grid.js";
import { Empty } from "./empty.js";
import { collection, isTrash } from "./source.js";
import { SelectionBar } from "./selection_bar.js";
import { details, failure, retry, status, tiles, total } from "./tiles.js";
import { CollectionHead, CollectionNotice } from "../collections/page.js";
import { isStarted, start, startFailure, user } from "../session.js";
import { date } from "../format.js";
import { texts } from "../texts.js";
import { visitor } from "../visitor/visitor.js";
import { VisitorHead } from "../visitor/visitor_head.js";

const words = texts.gallery;

export const Gallery = observer(() => {
  const isEmpty = status.value === "complete" && tiles.value.length === 0;
  const isRefused = status.value === "failed" && [403, 404].includes(failure.value.status);
  const takenDown = details.value?.taken_down;
  const hasNotice = collection.value && (isEmpty || isRefused || (isStarted.value && !user.value));
  return html`<main id="content" tabindex="-1" aria-label=${words.label}>
    ${collection.value ? html`<${CollectionHead} />` : visitor ? html`<${VisitorHead} />` : html`<${Summary} />`}
    ${isTrash.value && tiles.value.length > 0 && html`<p class="explanation">${texts.trash.explanation(date(tiles.value.at(-1).purged_after))}</p>`}
    ${takenDown?.names.length > 0 && html`<p class="explanation">${texts.trash.takenDown(takenDown.names, takenDown.has_more)}</p>`}
    ${hasNotice ? html`<${CollectionNotice} />` : html`${isEmpty ? html`<${Empty} />` : html`<${Grid} />`} <${Progress} />`}
    ${!visitor && html`<${SelectionBar} />`}
  </main>`;
});

const Summary = observer(
  () => html`<div class="summary">
    ${isTrash.value ? html`<h1>${texts.trash.title}</h1>` : html`<${Scope} /> <${Chips} />`}
    <p role="status">${total.value > 0 && words.total(total.value)}</p>
  </div>`,
);

const Scope = observer(() => {
  if (!user.value) return null;
  const choice = (value, label) =>
    html`<button aria-pressed=${filters.value.scope === value ? "true" : "false"} onClick=${() => setScope(value)}>${label}</button>`;
  return html`<div class="segments" role="group" aria-label=${words.label}>
    ${choice("mine", texts.nav.mine)} ${choice("everyone", texts.nav.everyone)}
  </div>`;
});

const Progress = observer(() => {
  if (startFailure.value) return html`<${Failure} message=${startFailure.value} onRetry=${start} />`;
  if (status.value === "loading") return html`<p class="progress" role="status">${words.loading} …</p>`;
  if (status.value !== "failed") return null;
  const what = tiles.value.length > 0 ? words.moreFailed : words.loadFailed;
  return html`<${Failure} message=${`${what} ${failure.value.message}`} onRetry=${retry} />`;
});
