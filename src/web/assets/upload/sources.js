// Where files come from, other than the file picker: files that are dropped anywhere on the page, and pasted ones.

import { signal } from "../vendor/signals-core/signals-core.module.js";
import { add, guestImagesLeft } from "./queue.js";
import { user } from "../session.js";
import { visitor } from "../visitor/visitor.js";

/** Whether files are being dragged over the page. */
export const isDragging = signal(false);

/** Adds files, after the user has said who they are. The shell sets what asks them. */
export const uploads = { askWho: () => {} };

export function addFiles(files) {
  if (files.length === 0) return;
  if (visitor || user.peek()) add(files);
  else uploads.askWho(() => add(files));
}

const mayAdd = () => !visitor || guestImagesLeft.peek() > 0;
const hasFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;

// Each element under the pointer gets its own events, so only the time since the last one says that the pointer has left.
const LEFT_AFTER_MS = 300;
let timer = 0;

addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  // Otherwise, the browser would show the file instead of the page.
  event.preventDefault();
  event.dataTransfer.dropEffect = mayAdd() ? "copy" : "none";
  if (!mayAdd()) return;
  isDragging.value = true;
  clearTimeout(timer);
  timer = setTimeout(stop, LEFT_AFTER_MS);
});

addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  stop();
  if (mayAdd()) addFiles([...event.dataTransfer.files]);
});

addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  const isField = event.target.matches?.("input, textarea");
  // Word processors also copy a picture of the text.
  const isText = isField && event.clipboardData.types.includes("text/plain");
  if (files.length === 0 || isText || !mayAdd()) return;
  event.preventDefault();
  addFiles(files);
});

function stop() {
  clearTimeout(timer);
  isDragging.value = false;
}
