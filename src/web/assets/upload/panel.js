// The list of uploads, and the sign that files can be dropped.

import { Component, html, observer } from "../ui/html.js";
import { icon } from "../ui/icons.js";
import { cancel, clearFinished, isBusy, items, progress, retry } from "./queue.js";
import { isDragging } from "./sources.js";
import { fileSize } from "../format.js";
import { texts } from "../texts.js";

const words = texts.upload;

addEventListener("beforeunload", (event) => {
  if (isBusy.peek()) event.preventDefault();
});

export const DropSign = observer(() => isDragging.value && html`<div class="drop-sign"><p>${words.drop}</p></div>`);

export const UploadPanel = observer(() => {
  if (items.value.length === 0) return null;
  const count = (state) => items.value.filter((item) => item.state === state).length;
  const failed = count("failed") + count("rejected");
  return html`<section class="uploads" aria-label=${words.uploads}>
    <header>
      <p role="status">${words.summary(count("done"), items.value.length, failed)}</p>
      ${!isBusy.value &&
      html`<button class="icon-button" aria-label=${words.close} onClick=${clearFinished}>${icon("close")}</button>`}
    </header>
    ${isBusy.value && html`<progress value=${progress.value} aria-label=${words.total}></progress>`}
    <ul>
      ${sorted(items.value).map((item) => html`<${Row} key=${item.id} ...${item} item=${item} />`)}
    </ul>
  </section>`;
});

const ORDER = ["failed", "rejected", "sending", "waiting", "done"];

/** Those first that the user has to know about, or is waiting for. */
function sorted(all) {
  return all.toSorted((one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state));
}

class Row extends Component {
  preview = URL.createObjectURL(this.props.item.file);

  componentWillUnmount() {
    URL.revokeObjectURL(this.preview);
  }

  shouldComponentUpdate(next) {
    return ["state", "sent", "error", "interruption"].some((name) => next[name] !== this.props[name]);
  }

  render({ item, state, sent, error }) {
    const { name, size } = item.file;
    const isOver = state === "done" || state === "rejected";
    return html`<li>
      <img src=${this.preview} alt="" width="40" height="40" onError=${hide} />
      <div>
        <p class="file-name">${name}</p>
        ${state === "sending" && html`<progress value=${sent} max=${size} aria-label=${words.progress(name)}></progress>`}
        ${error ? html`<p class="error">${error}</p>` : html`<p class="hint">${stateOf(item, fileSize(size))}</p>`}
      </div>
      ${state === "failed" && html`<button class="text-button" aria-label=${words.retryFile(name)} onClick=${() => retry(item)}>${words.retry}</button>`}
      <button
        class="icon-button"
        aria-label=${isOver ? words.dismiss(name) : words.cancel(name)}
        onClick=${() => cancel(item)}
      >
        ${icon(state === "done" ? "check" : "close")}
      </button>
    </li>`;
  }
}

/** Files that are no pictures have no preview. */
function hide(event) {
  event.currentTarget.style.visibility = "hidden";
}

function stateOf({ state, sent, file, interruption }, size) {
  if (interruption) return interruption.type === "Offline" ? words.offline : interruption.message;
  if (state === "sending") return sent >= file.size ? words.processing : words.sent(fileSize(sent), size);
  return state === "done" ? words.done : words.waiting(size);
}
