// Deletes a picture, and offers to restore it.

import { currentList, putBack, remove } from "../gallery/tiles.js";
import { request } from "../server.js";
import { user } from "../session.js";
import { showToast } from "../ui/toasts.js";
import { texts } from "../texts.js";

const words = texts.viewer;

/** Returns whether a picture belongs to the user, who can then change it. */
export function isOwner(tile) {
  return Boolean(user.value) && user.value.id === tile.user_id;
}

/** Returns whether the user can delete a picture: administrators can take down those of others. The service checks it. */
export function canDelete(tile) {
  return isOwner(tile) || Boolean(user.value?.admin);
}

/** `beforeRemoval` is called when the picture is deleted, and still in its list. */
export async function deleteWithUndo(tile, beforeRemoval) {
  const list = currentList();
  try {
    await request("DELETE", `images/${tile.id}`);
  } catch (error) {
    showToast(error.message);
    return;
  }
  beforeRemoval();
  remove(tile, list);
  showToast(isOwner(tile) ? words.deleted : words.takenDown, { label: words.undo, run: () => restore(tile, list) });
}

async function restore(tile, list) {
  try {
    await request("POST", `images/${tile.id}/restore`);
    putBack(tile, list);
    showToast(words.restored);
  } catch (error) {
    showToast(error.message);
  }
}
