// The pictures in rows. Only the rows near the visible part of the page are in the document, so that ten thousand pictures take no
// more memory than a few screens of them.

import { Component, createRef, html } from "../ui/html.js";
import { effect } from "../vendor/signals-core/signals-core.module.js";
import { heightOf, justify, rowHeight } from "./layout.js";
import { focusOn, neighbour } from "./keyboard.js";
import { selection } from "./selection.js";
import { Tile } from "./tile.js";
import { loadMore, tiles } from "./tiles.js";

const GAP = 4;
const MAX_TILES = 280;
/** How much is rendered above and below the visible part, in screens. */
const MARGIN = 0.75;

/** Lets other parts of the page focus a picture by its id; the mounted grid sets it. */
export const focus = { picture: () => {} };

export class Grid extends Component {
  element = createRef();
  state = { tiles: [], rows: [], width: 0, from: 0, to: 0, selected: new Set() };

  componentDidMount() {
    this.width = this.element.current.clientWidth;
    this.stopFollowing = effect(() => this.arrange(tiles.value));
    this.stopSelecting = effect(() => this.setState({ selected: selection.value }));
    this.resizes = new ResizeObserver(() => {
      const { clientWidth } = this.element.current;
      if (clientWidth === this.width) return;
      this.width = clientWidth;
      this.arrange(tiles.peek());
    });
    this.resizes.observe(this.element.current);
    addEventListener("scroll", this.scroll, { passive: true });
    focus.picture = (id) => {
      const index = tiles.peek().findIndex((tile) => tile.id === id);
      if (index >= 0) focusOn(this.element.current, this.state.rows, index);
    };
  }

  componentWillUnmount() {
    this.stopFollowing();
    this.stopSelecting();
    this.resizes.disconnect();
    removeEventListener("scroll", this.scroll);
    focus.picture = () => {};
    cancelAnimationFrame(this.frame);
  }

  arrange(all) {
    const { width } = this;
    const { tiles: before, rows: known, width: widthBefore } = this.state;
    const change = all.findIndex((tile, index) => tile !== before[index]);
    // A row depends on its pictures and the next one.
    const isSame = (row) => width === widthBefore && row.first + row.widths.length < (change < 0 ? all.length : change);
    const above = known.slice(0, firstIndex(known, (row) => !isSame(row)));
    const rows = justify(all, width, GAP, rowHeight(width), above);
    this.setState({ tiles: all, rows, width, ...this.visible(rows) });
  }

  scroll = () => {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      const { rows, from, to } = this.state;
      const range = this.visible(rows);
      if (range.from !== from || range.to !== to) this.setState(range);
    });
  };

  /** Returns which rows to render, and loads more pictures when the end is near. */
  visible(rows) {
    const start = scrollY - this.element.current.offsetTop;
    const [top, bottom] = [start - MARGIN * innerHeight, start + (1 + MARGIN) * innerHeight];
    if (bottom + innerHeight > heightOf(rows)) queueMicrotask(loadMore);
    const from = Math.min(firstIndex(rows, (row) => row.top + row.height >= top), Math.max(rows.length - 1, 0));
    let to = from;
    const isNear = (row) => row.top <= bottom && row.first + row.widths.length - rows[from].first <= MAX_TILES;
    while (to < rows.length && isNear(rows[to])) to++;
    return { from, to };
  }

  /** Arrow keys move between pictures. Tab leads to what can be done with the selected ones, or to Undo, however many others follow. */
  move = (event) => {
    const current = Number(event.target.dataset?.index ?? NaN);
    // With Alt, the browser goes back, or a picture is moved.
    if (event.altKey) return;
    const action = event.key === "Tab" && !event.shiftKey && document.querySelector(".selection-bar button, .toast button");
    if (action) {
      action.focus();
      event.preventDefault();
    }
    const next = neighbour(this.state.rows, current, event.key);
    if (next === null) return;
    event.preventDefault();
    focusOn(this.element.current, this.state.rows, next);
  };

  render(_, { tiles: all, rows, from, to, selected }) {
    const tilesOf = (row) =>
      row.widths.map((width, column) => {
        const tile = all[row.first + column];
        const box = { left: row.lefts[column], top: row.top, width, height: row.height };
        return html`<${Tile} key=${tile.id} tile=${tile} index=${row.first + column} box=${box} isSelected=${selected.has(tile.id)} />`;
      });
    return html`<ul class=${selected.size > 0 ? "grid selecting" : "grid"} ref=${this.element} style=${{ height: `${heightOf(rows)}px` }} onKeyDown=${this.move}>
      ${rows.slice(from, to).flatMap(tilesOf)}
    </ul>`;
  }
}

/** Returns the index of the first row for which a condition is true, as it is for all rows below; or else the number of rows. */
function firstIndex(rows, isTrue) {
  let [from, to] = [0, rows.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (isTrue(rows[middle])) to = middle;
    else from = middle + 1;
  }
  return from;
}
