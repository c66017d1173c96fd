// What the viewer loads of a picture.

import { srcset, urlOfSize } from "../gallery/tiles.js";
import { base } from "../server.js";

/** Returns the size and the URLs of a picture; null if there is nothing to show. */
export function sourceOf(tile) {
  const sizes = [...tile.sizes, ...tile.large];
  if (sizes.length === 0) return null;
  const { width, height } = sizes.at(-1);
  // The smallest one is usually in the cache, because the gallery shows it.
  const preview = urlOfSize(tile, sizes[0]);
  // Thumbnails do not move.
  if (tile.animated && tile.original) {
    return { src: new URL(tile.original, base).href, preview, width: tile.width, height: tile.height };
  }
  return { src: urlOfSize(tile, sizes.at(-1)), srcset: srcset(tile, sizes), preview, width, height };
}
