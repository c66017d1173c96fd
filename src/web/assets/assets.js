// The files of the page, next to its script.

/** Returns the URL of a file in this folder. */
export function assetUrl(path) {
  return new URL(path, import.meta.url);
}
