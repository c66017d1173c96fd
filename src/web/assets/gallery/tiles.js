// The pictures of the gallery, loaded page by page.

import { batch, computed, effect, signal } from "../vendor/signals-core/signals-core.module.js";
import { filters } from "./filters.js";
import { route } from "../router.js";
import { base, request } from "../server.js";
import { isStarted, user } from "../session.js";

const PAGE_SIZE = 100;

/** The tiles that are loaded, newest first. */
export const tiles = signal([]);

/** How many pictures match the filters; null until the first page is loaded. */
export const total = signal(null);

/** `loading`, `ready`, `failed` or `complete`. */
export const status = signal("loading");

/** Why the last page could not be loaded. */
export const failure = signal(null);

/** Whether the pictures are those in the trash. */
export const isTrash = computed(() => route.value.view === "trash");

/** No query of the gallery is equal to it. */
const TRASH = "trash";

let next = null;
let current = new AbortController();

// Strings, so that opening a picture, which changes the URL too, does not load the gallery again.
const query = computed(() => (isTrash.value ? TRASH : filters.value.query.toString()));
const viewer = computed(() => (isStarted.value ? (user.value?.id ?? "") : null));

effect(() => {
  const text = query.value;
  // Another user sees other pictures.
  const isKnown = viewer.value !== null;
  current.abort();
  current = new AbortController();
  next = null;
  scrollTo(0, 0);
  batch(() => {
    tiles.value = [];
    total.value = null;
  });
  if (isKnown) load(text, current.signal);
});

/** Loads the next page, unless one is being loaded or there is none. */
export function loadMore() {
  if (status.peek() === "ready") load(query.peek(), current.signal);
}

/** Tries again after a failure. */
export function retry() {
  load(query.peek(), current.signal);
}

async function load(filter, signal) {
  status.value = "loading";
  const parameters = new URLSearchParams(filter === TRASH ? "" : filter);
  parameters.set("limit", PAGE_SIZE);
  if (next) parameters.set("page_token", next);
  try {
    const page = await request("GET", filter === TRASH ? "app/trash/tiles" : "app/tiles", { query: parameters, signal });
    if (signal.aborted) return;
    batch(() => {
      next = page.next;
      const known = new Set(tiles.peek().map(({ id }) => id));
      tiles.value = [...tiles.peek(), ...page.tiles.filter(({ id }) => !known.has(id))];
      total.value = page.total;
      status.value = next ? "ready" : "complete";
    });
  } catch (error) {
    if (signal.aborted) return;
    batch(() => {
      failure.value = error.message;
      status.value = "failed";
    });
  }
}

/** Identifies the list that is shown, so that an action that takes long does not change another one. */
export function currentList() {
  return query.peek();
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

/** Adds a picture to a list in its place, if that list is still shown and does not have it: the newest is first. */
export function add(tile, list) {
  const all = tiles.peek();
  if (list !== currentList() || all.some(({ id }) => id === tile.id)) return;
  const index = all.findIndex(({ id }) => id < tile.id);
  batch(() => {
    tiles.value = all.toSpliced(index < 0 ? all.length : index, 0, tile);
    total.value += 1;
  });
}

/** Shows a picture again that was deleted from a list and restored. */
export function putBack(tile, list) {
  add(tile, list);
  if (isTrash.peek()) remove(tile, currentList());
}

/** Waits until the first page is loaded, or could not be. */
export function firstPage() {
  return new Promise((resolve) => {
    const stop = effect(() => {
      if (status.value === "loading" && tiles.value.length === 0) return;
      resolve();
      queueMicrotask(() => stop());
    });
  });
}

/** Loads a picture again that was changed, or whose URLs have expired. Returns its tile, or null if it could not be loaded. */
export async function reload(id) {
  const tile = await request("GET", `app/tiles/${id}`).catch(() => null);
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
