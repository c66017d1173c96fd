// Deletes a picture, and offers to restore it.

import { putBack, remove } from "../gallery/tiles.js";
import { request } from "../server.js";
import { user } from "../session.js";
import { showToast } from "../ui/toasts.js";
import { texts } from "../texts.js";

const words = texts.viewer;

/** Returns whether the user can change a picture. */
export function canChange(tile) {
  return Boolean(user.value) && (user.value.id === tile.user_id || user.value.admin === true);
}

/** Returns whether the picture was deleted. */
export async function deleteWithUndo(tile) {
  try {
    await request("DELETE", `images/${tile.id}`);
  } catch (error) {
    showToast(error.message);
    return false;
  }
  const place = remove(tile);
  showToast(words.deleted, { label: words.undo, run: () => restore(tile, place) });
  return true;
}

async function restore(tile, place) {
  try {
    await request("POST", `images/${tile.id}/restore`);
    putBack(tile, place);
    showToast(words.restored);
  } catch (error) {
    showToast(error.message);
  }
}
