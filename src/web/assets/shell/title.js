// The title of the browser tab: what the page shows.

import { effect } from "../vendor/signals-core/signals-core.module.js";
import { isTrash, nameOf, tiles } from "../gallery/tiles.js";
import { route } from "../router.js";
import { texts } from "../texts.js";

effect(() => {
  const { image } = route.value;
  const tile = image && tiles.value.find(({ id }) => id === image);
  const part = tile ? nameOf(tile) : isTrash.value && texts.trash.title;
  document.title = part ? `${part} – ${texts.title}` : texts.title;
});
