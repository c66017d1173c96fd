// Moves the focused picture of a collection with Alt and a key, and says where it is.

import { signal } from "../vendor/signals-core/signals-core.module.js";
import { lastBut, moveAfter } from "./order.js";
import { focus } from "../gallery/grid.js";
import { collection } from "../gallery/source.js";
import { nameOf, tiles, total } from "../gallery/tiles.js";
import { texts } from "../texts.js";

/** What screen readers say. */
export const announcement = signal("");

addEventListener("keydown", async (event) => {
  const index = Number(event.target.closest?.(".tile a")?.dataset.index ?? NaN);
  const targets = {
    ArrowLeft: () => (index > 0 ? (tiles.peek()[index - 2] ?? null) : undefined),
    ArrowRight: () => tiles.peek()[index + 1],
    Home: () => (index > 0 ? null : undefined),
    End: () => lastBut([tiles.peek()[index]]),
  };
  if (!collection.peek() || !event.altKey || Number.isNaN(index) || !(event.key in targets)) return;
  event.preventDefault();
  const tile = tiles.peek()[index];
  const target = await targets[event.key]();
  if (target === undefined) return;
  const moving = moveAfter([tile], target);
  // Rendering takes the focus away from elements that are moved.
  const refocus = () => requestAnimationFrame(() => focus.picture((tiles.peek().includes(tile) ? tile : tiles.peek().at(-1))?.id));
  refocus();
  const place = tiles.peek().indexOf(tile) + 1 || total.peek();
  announcement.value = texts.collections.place(nameOf(tile), place, total.peek());
  if (!(await moving)) refocus();
});
