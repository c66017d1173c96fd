// The title of the browser tab: what the page shows.

import { effect } from "../vendor/signals-core/signals-core.module.js";
import { nameOf, tiles } from "../gallery/tiles.js";
import { route } from "../router.js";
import { texts } from "../texts.js";
import { visitor } from "../visitor/visitor.js";

effect(() => {
  const { view, collection, image } = route.value;
  const tile = image && tiles.value.find(({ id }) => id === image);
  const part = tile ? nameOf(tile) : (collection ?? texts[view]?.title);
  const whole = visitor?.title ?? texts.title;
  document.title = part ? `${part} – ${whole}` : whole;
});
