// The title of the browser tab: what the page shows.

import { effect } from "../vendor/signals-core/signals-core.module.js";
import { nameOf, tiles } from "../gallery/tiles.js";
import { route } from "../router.js";
import { texts } from "../texts.js";

effect(() => {
  const { view, image } = route.value;
  const tile = image && tiles.value.find(({ id }) => id === image);
  const part = tile ? nameOf(tile) : texts[view]?.title;
  document.title = part ? `${part} – ${texts.title}` : texts.title;
});
