// What can be done with many pictures at once. Each is a request of its own; a few run at a time.

import { collection as shownCollection } from "./source.js";
import { focus } from "./grid.js";
import { currentList, putBack, reload, remove, tiles as all } from "./tiles.js";
import { deselect } from "./selection.js";
import { request } from "../server.js";
import { showToast } from "../ui/toasts.js";
import { isOwner } from "../viewer/deletion.js";
import { texts } from "../texts.js";

const PARALLEL = 4;
const words = texts.bulk;

/** Runs an action for each picture. Returns the pictures for which it succeeded; reports how many failed, and why. */
export async function changeEach(tiles, action) {
  const waiting = [...tiles];
  const done = [];
  let failed = 0;
  let reason = "";
  const work = async () => {
    for (let tile = waiting.shift(); tile; tile = waiting.shift()) {
      try {
        await action(tile);
        done.push(tile);
      } catch (error) {
        failed += 1;
        reason = error.message;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  if (failed > 0) showToast(words.failed(failed, reason));
  return done;
}

/** Adds tags to those that the pictures have. */
export async function addTags(tiles, tags) {
  const done = await changeEach(tiles, async ({ id }) => {
    const image = await request("GET", `images/${id}`, { query: { include_url: "false" } });
    await request("PATCH", `images/${id}`, { body: { tags: [...new Set([...image.tags, ...tags])] } });
  });
  finish(done, words.tagged);
}

/** Adds the pictures to a collection, which is created if it does not exist. `collection`: its name, and the visibility if it is new. */
export async function collect(tiles, collection) {
  const { name } = collection;
  try {
    await request("POST", "collections", { body: collection });
  } catch (error) {
    if (error.status !== 409) {
      showToast(error.message);
      return;
    }
  }
  // One after the other, because a collection keeps the order in which pictures are added: that of another collection, or the oldest
  // first.
  const done = [];
  for (const tile of shownCollection.peek() ? tiles : [...tiles].reverse()) {
    done.push(...(await changeEach([tile], ({ id }) => request("PUT", `collections/${encodeURIComponent(name)}/images/${id}`))));
  }
  finish(done, (count) => words.collected(count, name));
}

export async function setVisibility(tiles, visibility) {
  const done = await changeEach(tiles, ({ id }) => request("PATCH", `images/${id}`, { body: { visibility } }));
  await Promise.all(done.map(({ id }) => reload(id)));
  finish(done, visibility === "private" ? words.madePrivate : words.madePublic);
}

/** The ids of pictures that are being deleted: a key that is pressed twice must not delete them twice. */
const leaving = new Set();

/** Deletes the pictures, and offers to restore them. */
export async function deleteAll(tiles) {
  const list = currentList();
  const staying = tiles.filter(({ id }) => !leaving.has(id));
  for (const { id } of staying) leaving.add(id);
  const done = await changeEach(staying, ({ id }) => request("DELETE", `images/${id}`));
  for (const { id } of staying) leaving.delete(id);
  removeAll(done, list);
  const message = done.some(isOwner) ? words.deleted : words.takenDown;
  if (done.length > 0) showToast(message(done.length), { label: texts.viewer.undo, run: () => restoreAll(done, list) });
}

/** Restores deleted pictures in their places. */
async function restoreAll(tiles, list) {
  const done = await changeEach(tiles, ({ id }) => request("POST", `images/${id}/restore`));
  for (const tile of done) putBack(tile, list);
  if (done.length > 0) showToast(words.restored(done.length));
}

function finish(done, message) {
  deselect(done);
  if (done.length > 0) showToast(message(done.length));
}

/** Restores pictures from the trash. */
export async function restore(tiles) {
  const list = currentList();
  const done = await changeEach(tiles, ({ id }) => request("POST", `images/${id}/restore`));
  removeAll(done, list);
  if (done.length > 0) showToast(words.restored(done.length));
}

/** Deletes pictures in the trash permanently. */
export async function purge(tiles) {
  const list = currentList();
  const done = await changeEach(tiles, ({ id }) => request("DELETE", `images/${id}`, { query: { purge: "true" } }));
  removeAll(done, list);
  if (done.length > 0) showToast(words.purged(done.length));
}

/** Removes pictures from a list. If one of them had the focus of the keyboard, what is now in the place of the first one gets it. */
function removeAll(tiles, list) {
  const usesKeyboard = document.querySelector(":focus-visible") !== null;
  const first = all.peek().findIndex((tile) => tiles.includes(tile));
  deselect(tiles);
  for (const tile of tiles) remove(tile, list);
  requestAnimationFrame(() => {
    const isLost = usesKeyboard && document.activeElement === document.body;
    if (isLost) focus.picture((all.peek()[first] ?? all.peek().at(-1))?.id);
  });
}
