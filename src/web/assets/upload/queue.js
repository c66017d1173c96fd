// The files that are being uploaded: three at a time, in the order in which they were added.

import { computed, effect, signal } from "../vendor/signals-core/signals-core.module.js";
import { objection } from "./limits.js";
import { abandon, canRetry, repeat, transfer } from "./transfer.js";
import { request } from "../server.js";
import { filters } from "../gallery/filters.js";
import { collection, isTrash } from "../gallery/source.js";
import { add as addTile, currentList } from "../gallery/tiles.js";
import { expired, user } from "../session.js";
import { remember, remembered } from "../storage.js";
import { texts } from "../texts.js";
import { showToast } from "../ui/toasts.js";
import { tilePath, visitor } from "../visitor/visitor.js";

const PARALLEL = 3;

/** What applies to the files that are added next. */
export const options = signal({ visibility: remembered("upload-visibility") ?? "public", tags: "" });

/**
 * `{ id, file, state, sent, error, interruption }`. `state` is `waiting`, `sending`, `done`, `failed`, which can be retried, or
 * `rejected`, which cannot. `error` says why. `interruption` is the error because of which sending waits, or null.
 */
export const items = signal([]);

/** Whether leaving the page would interrupt an upload. */
export const isBusy = computed(() => items.value.some(({ state }) => state === "waiting" || state === "sending"));

/** What has been sent of all files, from 0 to 1. */
export const progress = computed(() => {
  const sum = (of) => counted.reduce((total, item) => total + of(item), 0);
  const counted = items.value.filter(({ state }) => state !== "rejected");
  const all = sum(({ file }) => file.size);
  return all === 0 ? 1 : sum(({ state, sent, file }) => (state === "done" ? file.size : Math.min(sent, file.size))) / all;
});

/** How many pictures the service still accepts from visitors of this page. */
const accepted = signal(Number(visitor?.guestImages ?? 0));

/** How many pictures visitors of this page can still choose: those that are being sent have their places. */
export const guestImagesLeft = computed(() => {
  const unfinished = items.value.filter(({ state }) => state === "waiting" || state === "sending");
  return Math.max(accepted.value - unfinished.length, 0);
});

let lastId = 0;

/** Adds files. */
export function add(files) {
  const { visibility, tags } = options.peek();
  const added = [...files].map((file) => ({
    id: ++lastId,
    file,
    userId: user.peek()?.id,
    // The owner of a share decides what applies to pictures of visitors.
    fields: visitor ? {} : { visibility, tags },
    collection: collection.peek(),
    key: crypto.randomUUID?.() ?? `${Date.now()}-${lastId}-${Math.random()}`,
    upload: null,
    aborts: new AbortController(),
    state: "waiting",
    sent: 0,
    error: null,
    interruption: null,
    hasPlace: false,
  }));
  items.value = [...items.peek(), ...added];
  fill();
}

export function cancel(item) {
  item.aborts.abort();
  items.value = items.peek().filter(({ id }) => id !== item.id);
  abandon(item);
  // The service may be storing a form that has been sent completely.
  if (item.state === "sending" && !item.upload && item.sent >= item.file.size) showToast(texts.upload.maybeStored(item.file.name));
  fill();
}

/** Sends a failed file again, from where it was interrupted. */
export function retry(item) {
  change(item, { state: "waiting", error: null });
  fill();
}

/** Empties the list, apart from files that are still being sent. */
export function clearFinished() {
  for (const item of items.peek().filter(({ state }) => state === "failed")) abandon(item);
  items.value = items.peek().filter(({ state }) => state === "waiting" || state === "sending");
}

export function setOptions(changes) {
  options.value = { ...options.peek(), ...changes };
  remember("upload-visibility", options.peek().visibility);
}

// While a session has expired, the files wait for their user to sign in again. Another user must not send or see them.
effect(() => {
  const id = user.value?.id;
  if (visitor || (!id && expired.peek())) return;
  const foreign = items.peek().filter(({ userId }) => userId !== id);
  if (foreign.length > 0) {
    const unfinished = foreign.filter(({ state }) => state === "waiting" || state === "sending");
    for (const item of unfinished) item.aborts.abort();
    items.value = items.peek().filter(({ userId }) => userId === id);
    if (unfinished.length > 0) showToast(texts.upload.stopped(unfinished.length));
  }
  fill();
});

/** Starts as many files as may be sent now. */
function fill() {
  if (!user.peek() && !visitor) return;
  const sending = items.peek().filter(({ state }) => state === "sending").length;
  const waiting = items.peek().filter(({ state }) => state === "waiting");
  for (const item of waiting.slice(0, Math.max(PARALLEL - sending, 0))) upload(item);
}

async function upload(item) {
  change(item, { state: "sending" });
  try {
    const { signal } = item.aborts;
    const onWait = (error) => change(item, { interruption: error });
    const rule = (await repeat(() => objection(item.file), { signal, onWait })) ?? takePlace(item);
    if (rule) {
      change(item, { state: "rejected", error: rule });
    } else {
      const onProgress = (sent) => change(item, { sent });
      const id = await transfer(item, item.fields, { signal, onProgress, onWait });
      change(item, { state: "done", upload: null });
      if (item.collection) await collect(id, item);
      else if (visitor) await showToVisitor(id);
      else await show(id);
    }
  } catch (error) {
    if (item.aborts.signal.aborted) return;
    if (visitor && isOver(error)) accepted.value = 0;
    change(item, { state: canRetry(error) ? "failed" : "rejected", error: error.message });
  } finally {
    fill();
  }
}

/** Takes a place for a picture of a visitor, which files that are no pictures do not need. Returns an error text if there is none. */
function takePlace(item) {
  if (!visitor) return null;
  const taken = items.peek().filter((other) => other !== item && other.hasPlace && other.state === "sending").length;
  item.hasPlace = taken < accepted.peek();
  return item.hasPlace ? null : texts.visitor.full;
}

/** Changes an item. The objects stay the same, because transfers keep what they need to continue in them. */
function change(item, values) {
  Object.assign(item, values);
  items.value = [...items.peek()];
}

/** Adds a new picture to the collection on whose page it was uploaded. */
async function collect(id, item) {
  const list = currentList();
  try {
    await request("PUT", `collections/${item.collection}/images/${id}`);
  } catch (error) {
    const action = { label: texts.upload.retry, run: () => collect(id, item) };
    showToast(texts.upload.notCollected(item.file.name, item.collection, error.message), action);
    return;
  }
  const tile = collection.peek() === item.collection && (await request("GET", `app/tiles/${id}`).catch(() => null));
  if (tile) addTile(tile, list);
}

/** Returns whether the service accepts no more pictures: others have added the last ones, or the share has ended. */
function isOver({ status }) {
  return status === 404 || status === 403;
}

/** Shows a new picture on the page for visitors. */
async function showToVisitor(id) {
  accepted.value -= 1;
  const tile = await request("GET", tilePath(id)).catch(() => null);
  if (tile) addTile(tile, currentList());
}

/** Shows a new picture in the gallery, unless the gallery is filtered. */
async function show(id) {
  const list = currentList();
  const { scope, values } = filters.peek();
  if (isTrash.peek() || collection.peek() || Object.keys(values).length > 0) return;
  const tile = await request("GET", `app/tiles/${id}`).catch(() => null);
  if (tile && (scope !== "mine" || tile.user_id === user.peek()?.id)) addTile(tile, list);
}
