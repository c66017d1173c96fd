// Where a picture lies while it is zoomed and moved. Lengths are CSS pixels. A view is `{ scale, x, y }`: how much larger the picture
// is than when it fits, and how far its corner has moved from there.

/** How much a double click enlarges: to the pixels of the picture, within these limits. */
const MIN_CLOSE_UP = 2;
const MAX_CLOSE_UP = 3;
/** Small pictures too can be enlarged so much. */
const MIN_LIMIT = 4;

export const FITTED = { scale: 1, x: 0, y: 0 };

/** Returns the box of a picture that fits into an area, not larger than the pixels of the picture. */
export function fit(picture, area) {
  const scale = Math.min(1, area.width / picture.width, area.height / picture.height);
  const [width, height] = [picture.width, picture.height].map((length) => Math.max(Math.round(length * scale), 1));
  const [left, top] = [area.x + (area.width - width) / 2, area.y + (area.height - height) / 2].map(Math.round);
  return { left, top, width, height, closeUp: clamp(1 / scale, MIN_CLOSE_UP, MAX_CLOSE_UP), limit: Math.max(1 / scale, MIN_LIMIT) };
}

/** Zooms so that what is at a point stays there, and moves by a distance. The picture still covers what it can of the area. */
export function zoomed(view, { scale = view.scale, at = { x: 0, y: 0 }, by = { x: 0, y: 0 } }, box, area) {
  const next = clamp(scale, 1, box.limit);
  const shift = (start, point, position, distance) => point - start - ((point - start - position) * next) / view.scale + distance;
  const x = shift(box.left, at.x, view.x, by.x);
  const y = shift(box.top, at.y, view.y, by.y);
  return {
    scale: next,
    x: within(x, box.left, box.width * next, area.x, area.width),
    y: within(y, box.top, box.height * next, area.y, area.height),
  };
}

/** Centres what is smaller than the area. What is larger has its edges at those of the area, or outside. */
function within(shift, start, length, areaStart, areaLength) {
  const space = areaLength - length;
  const first = areaStart - start;
  return space >= 0 ? first + space / 2 : clamp(shift, first + space, first);
}

function clamp(value, min, max) {
  return Math.min(Math.max(value, min), max);
}
