// The justified layout: rows of pictures with the same height that fill the width exactly, as in a newspaper.

/** The narrowest and widest pictures; others are cropped in the gallery. */
const MIN_RATIO = 0.4;
const MAX_RATIO = 4;

/** Returns the ideal height of a row on a page of this width. Phones show about two pictures in a row. */
export function rowHeight(width) {
  return Math.round(Math.min(Math.max(140 + width / 20, 150), 320));
}

/**
 * Arranges pictures of these sizes. Returns rows of `{ first, top, height, lefts, widths }`, in pixels; `first` is the index of the
 * first picture. A row has as many pictures as bring it closest to the ideal height. The last row is not enlarged to fill the width.
 * `above`: the rows of the first pictures, if they are known.
 */
export function justify(pictures, width, gap, ideal, above = []) {
  const rows = [...above];
  const last = rows.at(-1);
  let top = last ? last.top + last.height + gap : 0;
  for (let first = last ? last.first + last.widths.length : 0; first < pictures.length; ) {
    const { ratios, isFull } = takeRow(pictures, first, width, gap, ideal);
    const space = width - gap * (ratios.length - 1);
    const fitting = space / sum(ratios);
    const height = Math.round(isFull ? fitting : Math.min(fitting, ideal));
    rows.push({ first, top, height, ...place(ratios, height, isFull ? width : null, gap) });
    top += height + gap;
    first += ratios.length;
  }
  return rows;
}

/** Returns the height of all rows. */
export function heightOf(rows) {
  const last = rows.at(-1);
  return last ? last.top + last.height : 0;
}

function takeRow(pictures, first, width, gap, ideal) {
  const ratios = [];
  let total = 0;
  const heightWith = (count, ratio) => (width - gap * (count - 1)) / ratio;
  for (let index = first; index < pictures.length; index++) {
    const ratio = Math.min(Math.max(pictures[index].width / pictures[index].height, MIN_RATIO), MAX_RATIO);
    const after = heightWith(ratios.length + 1, total + ratio);
    if (after <= ideal) {
      const before = ratios.length > 0 ? heightWith(ratios.length, total) : Infinity;
      // Without the last picture, the row may be closer to the ideal height.
      if (before / ideal <= ideal / after) return { ratios, isFull: true };
      return { ratios: [...ratios, ratio], isFull: true };
    }
    ratios.push(ratio);
    total += ratio;
  }
  return { ratios, isFull: false };
}

/** Rounds to whole pixels. The last picture of a full row gets what is left, so that all rows end at the same place. */
function place(ratios, height, fullWidth, gap) {
  const lefts = [];
  const widths = [];
  let left = 0;
  ratios.forEach((ratio, index) => {
    const isLast = index === ratios.length - 1;
    const width = isLast && fullWidth !== null ? fullWidth - left : Math.round(ratio * height);
    lefts.push(left);
    widths.push(width);
    left += width + gap;
  });
  return { lefts, widths };
}

function sum(numbers) {
  return numbers.reduce((total, value) => total + value, 0);
}
