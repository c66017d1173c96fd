// What the service accepts, so that other files are rejected before anything is sent.

import { fileSize } from "../format.js";
import { request } from "../server.js";
import { texts } from "../texts.js";
import { visitor } from "../visitor/visitor.js";

const words = texts.upload;

/** How files of each type begin; the second entry of WebP follows the length. */
const SIGNATURES = {
  "image/jpeg": [[0, [0xff, 0xd8, 0xff]]],
  "image/png": [[0, [0x89, 0x50, 0x4e, 0x47]]],
  "image/gif": [[0, [0x47, 0x49, 0x46, 0x38]]],
  "image/webp": [[0, [0x52, 0x49, 0x46, 0x46]], [8, [0x57, 0x45, 0x42, 0x50]]],
};
const HEAD_BYTES = 12;

let loading = null;

/** Returns the limits; they are loaded once. */
function limits() {
  loading ??= request("GET", visitor ? "s/limits" : "limits");
  loading.catch(() => {
    loading = null;
  });
  return loading;
}

/** Returns why the service would reject a file, or null. */
export async function objection(file) {
  const { content_types: types, min_file_size: min, max_file_size: max } = await limits();
  if (file.size > max) return words.tooLarge(fileSize(file.size), fileSize(max));
  const head = await headOf(file);
  if (!head) return words.unreadable;
  const type = Object.keys(SIGNATURES).find((known) => SIGNATURES[known].every(([at, bytes]) => begins(head, at, bytes)));
  if (!types.includes(type)) return words.wrongType(types.map(nameOfType).join(", "));
  return file.size < min ? words.tooSmall(fileSize(min)) : null;
}

/** Returns the first bytes; null for folders and for files that were removed. */
async function headOf(file) {
  try {
    return new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  } catch {
    return null;
  }
}

function begins(bytes, at, expected) {
  return expected.every((byte, index) => bytes[at + index] === byte);
}

function nameOfType(type) {
  const name = type.replace("image/", "");
  return name === "webp" ? "WebP" : name.toUpperCase();
}
