// Placeholders of pictures that are being loaded, from their ThumbHash (https://evanw.github.io/thumbhash/).

import { thumbHashToAverageRGBA, thumbHashToRGBA } from "../vendor/thumbhash/thumbhash.js";

/** Returns the average colour of a picture. */
export function averageColor(placeholder) {
  const { r, g, b, a } = thumbHashToAverageRGBA(bytesOf(placeholder));
  const [red, green, blue] = [r, g, b].map((value) => Math.round(255 * value));
  return `rgb(${red} ${green} ${blue} / ${a})`;
}

/** Paints a blurred version of a picture, about 32 pixels wide, which the browser enlarges. */
export function paint(canvas, placeholder) {
  if (!canvas) return;
  const { w, h, rgba } = thumbHashToRGBA(bytesOf(placeholder));
  canvas.width = w;
  canvas.height = h;
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(rgba), w, h), 0, 0);
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
