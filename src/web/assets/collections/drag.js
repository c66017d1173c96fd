// Pictures of a collection are dragged to other places, with a mouse or a pen. On touch screens, dragging scrolls.

import { moveAfter } from "./order.js";
import { selected } from "../gallery/selection.js";
import { collection } from "../gallery/source.js";
import { tiles } from "../gallery/tiles.js";

/** A click moves the pointer less than this. */
const MIN_DISTANCE = 6;
/** So close to the top or the bottom of the window, the page scrolls, by so much per frame at most. */
const EDGE = 80;
const MAX_STEP = 20;

/** `{ moved, x, y, marker, target }`: what is dragged, from where, and once it is, where it would be dropped. */
let drag = null;

addEventListener("pointerdown", (event) => {
  const link = event.target.closest?.(".tile a");
  if (!collection.peek() || !link || event.button !== 0 || event.pointerType === "touch") return;
  const tile = tiles.peek()[link.dataset.index];
  const moved = selected.peek().includes(tile) ? selected.peek() : [tile];
  drag = { moved, x: event.clientX, y: event.clientY, marker: null, target: undefined };
});

// Browsers would drag the link.
addEventListener("dragstart", (event) => {
  if (drag) event.preventDefault();
});

addEventListener("pointermove", (event) => {
  if (!drag) return;
  const { clientX, clientY } = event;
  if (!drag.marker) {
    if (Math.hypot(clientX - drag.x, clientY - drag.y) < MIN_DISTANCE) return;
    drag.marker = Object.assign(document.createElement("div"), { className: "drop-marker" });
    document.body.append(drag.marker);
    document.documentElement.classList.add("dragging");
    requestAnimationFrame(scroll);
  }
  Object.assign(drag, { x: clientX, y: clientY });
  aim();
});

addEventListener("pointerup", () => {
  const { marker, moved, target } = drag ?? {};
  stop();
  if (!marker) return;
  // The click that follows is not one.
  const swallow = (event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  addEventListener("click", swallow, { capture: true, once: true });
  setTimeout(() => removeEventListener("click", swallow, { capture: true }));
  if (target !== undefined) moveAfter(moved, target);
});

addEventListener("pointercancel", stop);

addEventListener(
  "keydown",
  (event) => {
    if (event.key !== "Escape" || !drag?.marker) return;
    event.stopImmediatePropagation();
    stop();
  },
  { capture: true },
);

function stop() {
  drag?.marker?.remove();
  document.documentElement.classList.remove("dragging");
  drag = null;
}

/** Marks the place between two pictures that is closest to the pointer. */
function aim() {
  let best = { distance: Infinity };
  for (const element of document.querySelectorAll(".tile")) {
    const box = element.getBoundingClientRect();
    const side = drag.x < box.left + box.width / 2 ? "left" : "right";
    // Pictures of the same row are closer than all others.
    const vertical = Math.max(box.top - drag.y, drag.y - box.bottom, 0);
    const distance = 1000 * vertical + Math.abs(drag.x - box[side]);
    if (distance < best.distance) best = { distance, element, box, side };
  }
  if (!best.element) return;
  const { box, side } = best;
  const index = Number(best.element.querySelector("a").dataset.index);
  const others = tiles.peek().slice(0, side === "left" ? index : index + 1).filter((tile) => !drag.moved.includes(tile));
  drag.target = others.at(-1) ?? null;
  Object.assign(drag.marker.style, { left: `${box[side]}px`, top: `${box.top}px`, height: `${box.height}px` });
}

function scroll() {
  if (!drag?.marker) return;
  const [above, below] = [EDGE - drag.y, drag.y - innerHeight + EDGE];
  const share = Math.max(above, below, 0) / EDGE;
  if (share > 0) {
    scrollBy(0, MAX_STEP * Math.min(share, 1) * (above > below ? -1 : 1));
    aim();
  }
  requestAnimationFrame(scroll);
}
