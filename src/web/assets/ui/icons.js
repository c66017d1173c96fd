// Icons: paths of 24 × 24 pixels, drawn with the colour of the text.

import { html } from "./html.js";

const PATHS = {
  check: "M5 13l4 4L19 7",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h10v10H9zM5 15V5h10",
  download: "M12 4v11m-5-5l5 5 5-5M5 20h14",
  folder: "M4 7h6l2 2h8v10H4z",
  first: "M5 5v14M20 12H9m5-5l-5 5 5 5",
  filter: "M4 6h16M7 12h10M10 18h4",
  globe: "M12 3a9 9 0 100 18 9 9 0 000-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  info: "M12 11v6m0-9.5v.5M12 3a9 9 0 100 18 9 9 0 000-18z",
  last: "M19 5v14M4 12h11m-5-5l5 5-5 5",
  lock: "M7 11V8a5 5 0 0110 0v3M6 11h12v9H6z",
  next: "M9 5l7 7-7 7",
  previous: "M15 5l-7 7 7 7",
  restore: "M4 9h10a5 5 0 010 10h-4M8 5L4 9l4 4",
  takeOut: "M4 7h6l2 2h8v10H4zM9 14h6",
  tag: "M4 4h8l8 8-8 8-8-8zM8 8v.5",
  trash: "M5 7h14M10 7V5h4v2M7 7l1 13h8l1-13",
  upload: "M12 16V5m-5 5l5-5 5 5M5 20h14",
  user: "M12 12a4 4 0 100-8 4 4 0 000 8zm-8 8c1-4 4-6 8-6s7 2 8 6",
  zoom: "M10.5 4a6.5 6.5 0 100 13 6.5 6.5 0 000-13zM15 15l5 5M7.5 10.5h6m-3-3v6",
};

export function icon(name) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
