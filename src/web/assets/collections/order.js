// Changes of a collection's pictures: their order, and which they are. They are shown at once.

import { collection } from "../gallery/source.js";
import { changeEach } from "../gallery/bulk.js";
import { deselect } from "../gallery/selection.js";
import { add, changes, currentList, remove, settled, show, status, tiles } from "../gallery/tiles.js";
import { request } from "../server.js";
import { showToast } from "../ui/toasts.js";
import { texts } from "../texts.js";

const words = texts.collections;

/** Increased when a move fails. Those that wait are then dropped, because they were meant for another order. */
let attempt = 0;

function pathOf(name, { id }) {
  return `collections/${name}/images/${id}`;
}

/** Moves pictures directly behind another one; null: to the beginning. Returns whether the service did. */
export function moveAfter(moved, target) {
  const [name, list, current, before] = [collection.peek(), currentList(), attempt, tiles.peek()];
  show(moveIn(before, moved, target));
  const done = [];
  const send = async () => {
    if (current !== attempt) return false;
    for (const tile of moved) {
      await request("PATCH", pathOf(name, tile), { body: { after: (done.at(-1) ?? target)?.id ?? null } });
      done.push(tile);
    }
    return true;
  };
  const undo = (error) => {
    attempt += 1;
    if (list === currentList()) show(moveIn(restored(before, moved), done, target));
    showToast(words.notMoved(error.message));
    return false;
  };
  // Moves wait for each other.
  changes.done = changes.done.then(send).catch(undo);
  return changes.done;
}

/** Moves pictures to the beginning or the end, in their order. */
export async function moveToEdge(moved, isEnd) {
  const target = isEnd ? await lastBut(moved) : null;
  // All pictures are moved, so they are there already.
  if (isEnd && !target) return;
  if (!(await moveAfter(moved, target))) return;
  deselect(moved);
  showToast(words.moved(moved.length, isEnd));
}

/** Returns the last picture of the collection, which may not be loaded, apart from these; undefined if there is no other. */
export async function lastBut(moved) {
  const isMoved = ({ id }) => moved.some((tile) => tile.id === id);
  await settled();
  if (status.peek() === "complete") return tiles.peek().findLast((tile) => !isMoved(tile));
  const page = await request("GET", currentList(), { query: { limit: 1 } }).catch(() => null);
  // Meanwhile, the list may have got the end.
  if (["loading", "complete"].includes(status.peek())) return lastBut(moved);
  return page?.last ? { id: page.last } : undefined;
}

/** A picture that is moved behind one that is not loaded is not in the list until that is. */
function moveIn(list, moved, target) {
  const ids = new Set(moved.map(({ id }) => id));
  const rest = list.filter(({ id }) => !ids.has(id));
  const index = target ? rest.findIndex(({ id }) => id === target.id) + 1 : 0;
  return target && index === 0 ? rest : rest.toSpliced(index, 0, ...moved);
}

/** Returns the pictures that are shown, and those that were moved, in an order from before. */
function restored(before, moved) {
  const shown = new Map([...moved, ...tiles.peek()].map((tile) => [tile.id, tile]));
  const known = before.filter(({ id }) => shown.has(id)).map(({ id }) => shown.get(id));
  return [...known, ...tiles.peek().filter(({ id }) => before.every((tile) => tile.id !== id))];
}

/** Removes pictures from the collection, and offers to put them back in their places. */
export async function takeOut(taken) {
  const [name, list] = [collection.peek(), currentList()];
  const order = tiles.peek().map(({ id }) => id);
  const done = await changeEach(taken, (tile) => request("DELETE", pathOf(name, tile)));
  deselect(done);
  for (const tile of done) remove(tile, list);
  if (done.length > 0) showToast(words.removed(done.length), { label: texts.viewer.undo, run: () => putBack(done, name, list, order) });
}

async function putBack(taken, name, list, order) {
  const gone = new Set(taken.map(({ id }) => id));
  const inOrder = [...taken].sort((one, other) => order.indexOf(one.id) - order.indexOf(other.id));
  let count = 0;
  for (const tile of inOrder) {
    const previous = order.slice(0, order.indexOf(tile.id)).findLast((id) => !gone.has(id)) ?? null;
    const done = await changeEach([tile], async () => {
      await request("PUT", pathOf(name, tile));
      await request("PATCH", pathOf(name, tile), { body: { after: previous } });
    });
    if (done.length === 0) continue;
    gone.delete(tile.id);
    count += 1;
    add(tile, list);
  }
  if (count > 0) showToast(words.putBack(count));
}
