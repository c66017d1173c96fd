// Loads the styles of a part of the page that is not always needed.

import { assetUrl } from "../assets.js";

/** Resolves when the styles of a file apply. */
export function loadStyles(path) {
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: assetUrl(path).href });
  return new Promise((resolve, reject) => {
    link.onload = resolve;
    link.onerror = () => reject(new Error(`${path} could not be loaded`));
    document.head.append(link);
  });
}
