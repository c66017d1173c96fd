// The pictures of the gallery, loaded page by page.

import { batch, computed, effect, signal } from "../vendor/signals-core/signals-core.module.js";
import { collection, isTrash, source } from "./source.js";
import { base, request } from "../server.js";
import { isStarted, user } from "../session.js";
import { tilePath, visitor } from "../visitor/visitor.js";

const PAGE_SIZE = 100;

/** The tiles that are loaded, newest first or in the order of the collection. */
export const tiles = signal([]);

/** How many pictures the list has; null until the first page is loaded. */
export const total = signal(null);

/** What the service says about the list, besides its tiles; null until the first page is loaded. */
export const details = signal(null);

/** `loading`, `ready`, `failed` or `complete`. */
export const status = signal("loading");

/** The error because of which the last page could not be loaded. */
export const failure = signal(null);

/** `done` resolves when all changes of the order are stored. Until then, no page is loaded, so that each picture is on one. */
export const changes = { done: Promise.resolve() };

/** The first page of a list, if the document has it: `{ source, page, sizes }`. */
let embedded = JSON.parse(document.getElementById("first-page")?.textContent ?? "null");

let next = null;
let current = new AbortController();
/** The ids of a collection in its order, with those that were removed, because they can be restored. */
let order = [];

const viewer = computed(() => (isStarted.value ? (user.value?.id ?? "") : null));

effect(() => {
  const path = source.value;
  // Another user sees other pictures.
  const isKnown = viewer.value !== null;
  current.abort();
  current = new AbortController();
  next = null;
  order = [];
  scrollTo(0, 0);
  batch(() => {
    tiles.value = [];
    total.value = null;
    details.value = null;
    status.value = "loading";
  });
  if (isKnown && path) load(path, current.signal);
});

/** Loads the next page, unless one is being loaded or there is none. */
export function loadMore() {
  if (status.peek() === "ready") load(source.peek(), current.signal);
}

/** Tries again after a failure. */
export function retry() {
  load(source.peek(), current.signal);
}

async function load(list, signal) {
  status.value = "loading";
  const [path, filter] = list.split("?");
  const parameters = new URLSearchParams(filter);
  parameters.set("limit", PAGE_SIZE);
  if (next) parameters.set("page_token", next);
  try {
    await changes.done;
    const { tiles: loaded, ...page } = takeEmbedded(list) ?? (await request("GET", path, { query: parameters, signal }));
    if (signal.aborted) return;
    batch(() => {
      next = page.next;
      const known = new Set(tiles.peek().map(({ id }) => id));
      const added = loaded.filter(({ id }) => !known.has(id));
      order.push(...added.map(({ id }) => id));
      tiles.value = [...tiles.peek(), ...added];
      total.value = page.total;
      details.value = page;
      status.value = next ? "ready" : "complete";
    });
  } catch (error) {
    if (signal.aborted) return;
    batch(() => {
      failure.value = error;
      status.value = "failed";
    });
  }
}

/** Returns the first page of a list if it is in the document. Later, it may have changed. */
function takeEmbedded(list) {
  const { source: path, page, sizes } = embedded ?? {};
  embedded = null;
  if (path !== list) return null;
  // The browser is already loading these pictures.
  return { ...page, tiles: page.tiles.map((tile, index) => ({ ...tile, shownSizes: sizes[index] })) };
}

/** Shows these tiles in this order. */
export function show(list) {
  const shown = list.map(({ id }) => id);
  const known = new Set(shown);
  order.forEach((id, index) => {
    if (!known.has(id)) shown.splice(shown.indexOf(order[index - 1]) + 1, 0, id);
  });
  order = shown;
  tiles.value = list;
}

/** Identifies the list that is shown, so that an action that takes long does not change another one. */
export function currentList() {
  return source.peek();
}

/** Removes a picture from a list, if that is still shown. */
export function remove({ id }, list) {
  const rest = tiles.peek().filter((other) => other.id !== id);
  if (list !== currentList() || rest.length === tiles.peek().length) return;
  batch(() => {
    tiles.value = rest;
    total.value -= 1;
  });
}

/**
 * Adds a picture to a list in its place, if that list is still shown and does not have it. The newest is first; in a collection, a
 * picture has the place that it had before, or is the last.
 */
export function add(tile, list) {
  const all = tiles.peek();
  if (list !== currentList() || all.some(({ id }) => id === tile.id)) return;
  const place = order.indexOf(tile.id);
  const isOrdered = collection.peek() || visitor;
  const isBefore = (id) => (isOrdered ? place >= 0 && order.indexOf(id) > place : id < tile.id);
  const index = all.findIndex(({ id }) => isBefore(id));
  batch(() => {
    total.value += 1;
    // It comes with the last page.
    if (isOrdered && place < 0 && next) return;
    show(all.toSpliced(index < 0 ? all.length : index, 0, tile));
  });
}

/** Shows a picture again that was deleted from a list and restored. */
export function putBack(tile, list) {
  add(tile, list);
  if (isTrash.peek()) remove(tile, currentList());
}

/** Waits until the first page is loaded, or could not be. */
export function firstPage() {
  return until(() => status.value !== "loading" || tiles.value.length > 0);
}

/** Waits until no page is being loaded. */
export function settled() {
  return until(() => status.value !== "loading");
}

function until(isTrue) {
  return new Promise((resolve) => {
    const stop = effect(() => {
      if (!isTrue()) return;
      resolve();
      queueMicrotask(() => stop());
    });
  });
}

/** Loads a picture again that was changed, or whose URLs have expired. Returns its tile, or null if it could not be loaded. */
export async function reload(id) {
  const tile = await request("GET", tilePath(id)).catch(() => null);
  if (tile) tiles.value = tiles.peek().map((other) => (other.id === id ? tile : other));
  return tile;
}

/** Returns the name of a picture for people. */
export function nameOf(tile) {
  return tile.title ?? tile.file_name;
}

/** Returns the URL of a picture in one of its sizes. */
export function urlOfSize(tile, size) {
  return `${base.pathname}${size.url}`;
}

/** Returns sizes of a picture as a value for `srcset`. */
export function srcset(tile, sizes) {
  return sizes.map((size) => `${urlOfSize(tile, size)} ${size.width}w`).join(", ");
}
