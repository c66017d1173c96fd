// One picture over the whole page. It follows the URL, so that Back closes it and a link opens it.

import { Component } from "../ui/html.js";
import { effect } from "../vendor/signals-core/signals-core.module.js";
import { focus } from "../gallery/grid.js";
import { firstPage, loadMore, tiles } from "../gallery/tiles.js";
import { Lightbox, loadPhotoSwipe } from "./lightbox.js";
import { closeImage, go, route } from "../router.js";
import { request } from "../server.js";
import { isStarted } from "../session.js";
import { showToast } from "../ui/toasts.js";

/** More pictures are loaded when only so many are left. */
const LEFT_BEFORE_LOADING = 10;
/** How long a picture waits for the gallery around it. */
const MAX_WAIT_MS = 1000;

export class Viewer extends Component {
  lightbox = null;

  componentDidMount() {
    this.stop = effect(() => this.follow(isStarted.value ? route.value.image : null));
  }

  componentWillUnmount() {
    this.stop();
    this.lightbox?.close();
  }

  /** Opens, changes or closes the picture, as the URL says. */
  async follow(id) {
    this.wanted = id;
    if (!id) {
      this.lightbox?.close();
      return;
    }
    if (this.lightbox) {
      this.lightbox.show(id);
      return;
    }
    const [list, PhotoSwipe] = await Promise.all([listWith(id), loadPhotoSwipe()]).catch((error) => {
      showToast(error.message);
      closeImage();
      return [null, null];
    });
    if (!list || this.wanted !== id || this.lightbox) return;
    this.lightbox = new Lightbox(PhotoSwipe, list, id, {
      onChange: (tile, isNearEnd) => {
        if (isNearEnd) loadMore();
        if (tile.id !== this.wanted) go({ image: tile.id, query: route.peek().query }, { replace: true });
      },
      onClose: (last) => {
        this.lightbox = null;
        closeImage();
        focus.picture(last);
      },
      leftBeforeLoading: LEFT_BEFORE_LOADING,
    });
  }

  render() {
    return null;
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Returns a function for the pictures to page through: those of the gallery once it has this one, otherwise this one alone. */
async function listWith(id) {
  const isIn = (list) => list.some((tile) => tile.id === id);
  if (isIn(tiles.peek())) return () => tiles.value;
  // Usually, the gallery is loaded just as fast, and the picture can be opened in its place at once.
  const [tile] = await Promise.all([request("GET", `app/tiles/${id}`), Promise.race([firstPage(), pause(MAX_WAIT_MS)])]);
  return () => (isIn(tiles.value) ? tiles.value : [tile]);
}
