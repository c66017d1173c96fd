// The pictures that are selected.

import { computed, effect, signal } from "../vendor/signals-core/signals-core.module.js";
import { source } from "./source.js";
import { tiles } from "./tiles.js";
import { isOwner } from "../viewer/deletion.js";

/** Their ids. */
export const selection = signal(new Set());

/** Their tiles, in the order of the gallery. */
export const selected = computed(() => tiles.value.filter(({ id }) => selection.value.has(id)));

/** Whether all of them belong to the user, who can then change them. */
export const isOwn = computed(() => selected.value.every(isOwner));

let anchor = null;

// Other lists have other pictures.
effect(() => {
  source.value;
  clear();
});

export function clear() {
  anchor = null;
  if (selection.peek().size > 0) selection.value = new Set();
}

export function deselect(tiles) {
  const ids = new Set(tiles.map(({ id }) => id));
  selection.value = new Set([...selection.peek()].filter((id) => !ids.has(id)));
}

export function toggle(tile) {
  const ids = new Set(selection.peek());
  if (!ids.delete(tile.id)) ids.add(tile.id);
  anchor = tile.id;
  selection.value = ids;
}

/** Selects all pictures from the one that was selected last to this one. */
export function extendTo(tile) {
  const all = tiles.peek();
  const from = all.findIndex(({ id }) => id === anchor);
  const to = all.indexOf(tile);
  if (from < 0) {
    toggle(tile);
    return;
  }
  const range = all.slice(Math.min(from, to), Math.max(from, to) + 1);
  selection.value = new Set([...selection.peek(), ...range.map(({ id }) => id)]);
}
