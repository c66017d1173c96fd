// Which picture the viewer shows: the one that the URL names, so that Back closes it and a link opens it.

import { computed, effect, signal, untracked } from "../vendor/signals-core/signals-core.module.js";
import { firstPage, loadMore, reload, tiles } from "../gallery/tiles.js";
import { closeImage, go, route } from "../router.js";
import { request } from "../server.js";
import { isStarted } from "../session.js";
import { showToast } from "../ui/toasts.js";
import { tilePath } from "../visitor/visitor.js";

/** More pictures are loaded when only so many are left. */
const LEFT_BEFORE_LOADING = 10;
/** How long a picture waits for the gallery around it. */
const MAX_WAIT_MS = 1000;

/** The picture that was opened, as it was then; null if the viewer is closed. */
const opened = signal(null);

const isOpened = ({ id }) => id === opened.value?.id;

/** The pictures to page through: those of the gallery once it has this one, otherwise this one alone. */
const pictures = computed(() => {
  if (!opened.value) return [];
  return tiles.value.some(isOpened) ? tiles.value : [opened.value];
});

/** Where the picture is among them. It changes when others are added or removed. */
export const position = computed(() => pictures.value.findIndex(isOpened));

/** The picture that is shown; undefined if the viewer is closed. */
export const shown = computed(() => pictures.value[position.value]);

/** Whether the gallery has the picture. */
export const isListed = computed(() => pictures.value === tiles.value);

/** Returns the picture so many places after the one that is shown; undefined if there is none. */
export function neighbour(step) {
  return pictures.value[position.value + step];
}

/** Shows another picture. */
export function show(tile) {
  go({ image: tile.id, query: route.peek().query }, { replace: true });
}

/** Closes the viewer. */
export function close() {
  // Going back twice would leave the gallery.
  if (!opened.value) return;
  opened.value = null;
  closeImage();
}

/** Loads the data of a picture again that was changed, or whose URLs have expired. Returns null if that fails. */
export async function renew(id) {
  const tile = await reload(id);
  if (tile && opened.peek()?.id === id) opened.value = tile;
  return tile;
}

effect(() => {
  const id = isStarted.value ? route.value.image : null;
  untracked(() => follow(id));
});

effect(() => {
  if (isListed.value && pictures.value.length - position.value <= LEFT_BEFORE_LOADING) queueMicrotask(loadMore);
});

async function follow(id) {
  const listed = tiles.value.find((tile) => tile.id === id);
  if (listed || !id) {
    opened.value = listed ?? null;
    return;
  }
  const isWanted = () => route.value.image === id;
  try {
    // Usually, the gallery is loaded just as fast, and the picture can be opened in its place at once.
    const [tile] = await Promise.all([request("GET", tilePath(id)), Promise.race([firstPage(), pause(MAX_WAIT_MS)])]);
    if (isWanted()) opened.value = tile;
  } catch (error) {
    if (!isWanted()) return;
    showToast(error.message);
    opened.value = null;
    closeImage();
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
