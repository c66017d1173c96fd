// The arrow keys in the gallery.

const MAX_FRAMES = 10;
const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

/** Returns the index of the picture that a key leads to from the picture at `index`; null if it leads nowhere. */
export function neighbour(rows, index, key) {
  const place = rowOf(rows, index);
  if (place < 0) return null;
  const last = rows.at(-1).first + rows.at(-1).widths.length - 1;
  if (key === "Home") return 0;
  if (key === "End") return last;
  if (key in STEPS) {
    const next = index + STEPS[key];
    return next >= 0 && next <= last ? next : null;
  }
  const target = rows[place + { ArrowUp: -1, ArrowDown: 1 }[key]];
  if (!target) return null;
  const row = rows[place];
  const column = index - row.first;
  return target.first + nearest(target, row.lefts[column] + row.widths[column] / 2);
}

/** Focuses a picture, after scrolling to it if it is not in the document. */
export function focusOn(grid, rows, index) {
  const find = () => grid.querySelector(`a[data-index="${index}"]`);
  const row = rows[rowOf(rows, index)];
  if (!find()) scrollTo({ top: grid.offsetTop + row.top - innerHeight / 2 });
  // The grid notices the scrolling in one frame, and renders in the next.
  const attempt = (frames) => {
    const link = find();
    if (link) link.focus();
    else if (frames > 0) requestAnimationFrame(() => attempt(frames - 1));
  };
  attempt(MAX_FRAMES);
}

function rowOf(rows, index) {
  return rows.findIndex((row) => index >= row.first && index < row.first + row.widths.length);
}

/** Returns the column whose picture is closest to a horizontal position. */
function nearest(row, x) {
  const distances = row.lefts.map((left, column) => Math.abs(left + row.widths[column] / 2 - x));
  return distances.indexOf(Math.min(...distances));
}
