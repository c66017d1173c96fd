// PhotoSwipe, with the pictures of the gallery: swiping, zooming and keys are its own; details and deletion are ours.

import { assetUrl } from "../assets.js";
import { effect } from "../vendor/signals-core/signals-core.module.js";
import { html, render } from "../ui/html.js";
import { iconMarkup } from "../ui/icons.js";
import { Details } from "./details.js";
import { isOwner, deleteWithUndo } from "./deletion.js";
import { loadStyles } from "../ui/styles.js";
import { base } from "../server.js";
import { nameOf, reload, srcset, urlOfSize } from "../gallery/tiles.js";
import { texts } from "../texts.js";

const words = texts.viewer;
const ANIMATION_MS = 160;
/** The details lie beside the picture on pages of at least this width, otherwise below it. The styles have the same numbers. */
const MIN_WIDTH_BESIDE = 900;
const PANEL_WIDTH = 340;
const PANEL_SHARE = 0.6;

const isStill = matchMedia("(prefers-reduced-motion: reduce)");

let loading = null;

/** Loads PhotoSwipe on the first call. */
export function loadPhotoSwipe() {
  loading ??= Promise.all([
    import(assetUrl("vendor/photoswipe/photoswipe.esm.min.js")),
    loadStyles("vendor/photoswipe/photoswipe.css"),
  ]).then(([{ default: PhotoSwipe }]) => PhotoSwipe);
  return loading.catch(() => {
    loading = null;
    // Either there is no connection, or another version of the service has other files.
    throw new Error(navigator.onLine ? texts.errors.outdated : texts.errors.offline);
  });
}

export class Lightbox {
  /** `list` returns the tiles; `options` has `onChange`, `onClose` and `leftBeforeLoading`. */
  constructor(PhotoSwipe, list, id, options) {
    this.list = list;
    this.options = options;
    this.showsDetails = false;
    this.renewed = new Set();
    this.isDeleting = false;
    this.isMoving = false;
    /** The picture that is shown. Its index changes when others are added or removed. */
    this.shown = id;
    const animation = isStill.matches ? 0 : ANIMATION_MS;
    this.pswp = new PhotoSwipe({
      index: this.indexOf(id),
      dataSource: [],
      loop: false,
      showHideAnimationType: animation ? "fade" : "none",
      showAnimationDuration: animation,
      hideAnimationDuration: animation,
      zoomAnimationDuration: animation,
      bgOpacity: 1,
      // The focus returns to the picture that was shown last.
      returnFocus: false,
      // The page below is inert instead, so that the messages can still be reached.
      trapFocus: false,
      paddingFn: () => this.padding(),
      closeTitle: words.close,
      zoomTitle: words.zoom,
      arrowPrevTitle: words.previous,
      arrowNextTitle: words.next,
      errorMsg: words.error,
    });
    this.connect();
    this.pswp.init();
    setInert(true);
    this.pswp.element.focus();
    this.stopFollowing = effect(() => this.follow(this.list()));
  }

  close() {
    // While it opens, PhotoSwipe ignores this.
    if (this.pswp.opener.isOpen) this.pswp.close();
    else this.pswp.on("openingAnimationEnd", () => this.pswp.close());
  }

  /** Shows another picture of the list. */
  show(id) {
    const index = this.indexOf(id);
    if (index !== this.pswp.currIndex) this.pswp.goTo(index);
  }

  get tile() {
    return this.list().find(({ id }) => id === this.shown);
  }

  /** Keeps showing the same picture when the list changes. */
  follow(list) {
    const { pswp } = this;
    const index = list.findIndex(({ id }) => id === this.shown);
    if (index < 0 || index === pswp.currIndex) return;
    this.moveTo(index);
  }

  /** Shows the picture at an index, and those around it, after the list has changed. */
  moveTo(index) {
    const { pswp } = this;
    // Meanwhile, slides still have what was at their index before.
    this.isMoving = true;
    pswp.goTo(index);
    for (const step of [-2, -1, 0, 1, 2]) pswp.refreshSlideContent(index + step);
    this.isMoving = false;
    this.changed();
  }

  indexOf(id) {
    return Math.max(this.list().findIndex((tile) => tile.id === id), 0);
  }

  connect() {
    const { pswp } = this;
    pswp.addFilter("numItems", () => this.list().length);
    pswp.addFilter("itemData", (_, index) => slide(this.list()[index]));
    pswp.on("uiRegister", () => this.addButtons());
    pswp.on("change", () => this.changed());
    pswp.on("afterInit", () => this.changed());
    // Until then, PhotoSwipe ignores that the details take space.
    pswp.on("openingAnimationEnd", () => pswp.updateSize(true));
    pswp.on("loadError", ({ content }) => this.renew(content.data.id));
    pswp.on("keydown", (press) => this.press(press));
    pswp.on("destroy", () => {
      this.stopFollowing?.();
      render(null, this.panel);
      setInert(false);
      this.options.onClose(this.shown);
    });
  }

  addButtons() {
    this.pswp.element.setAttribute("aria-label", words.label);
    this.pswp.element.setAttribute("aria-modal", "true");
    const button = (name, label, order, onClick) =>
      this.pswp.ui.registerElement({ name, order, isButton: true, html: iconMarkup(name), title: label, ariaLabel: label, onClick });
    button("info", words.details, 8, () => this.toggleDetails());
    button("trash", words.delete, 9, () => this.delete());
    this.pswp.ui.registerElement({
      name: "details",
      appendTo: "root",
      onInit: (element) => {
        this.panel = element;
        element.hidden = true;
        // The wheel scrolls the details; elsewhere, it zooms.
        element.addEventListener("wheel", (event) => event.stopPropagation());
      },
    });
  }

  changed() {
    if (this.isMoving) return;
    this.shown = this.pswp.currSlide?.data.id ?? this.shown;
    const { tile } = this;
    if (!tile || !this.panel) return;
    this.pswp.element.querySelector(".pswp__button--trash").hidden = !isOwner(tile);
    this.renderDetails();
    const left = this.list().length - 1 - this.pswp.currIndex;
    this.options.onChange(tile, left < this.options.leftBeforeLoading);
  }

  press(press) {
    const event = press.originalEvent;
    const form = this.panel.querySelector("form");
    if (form) {
      press.preventDefault();
      if (event.key === "Escape") form.querySelector("button[type=button]").click();
    }
    if (press.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.toLowerCase() === "i" && !event.repeat) this.toggleDetails();
    if (event.key === "Delete" && !event.repeat && isOwner(this.tile)) this.delete();
  }

  toggleDetails() {
    this.showsDetails = !this.showsDetails;
    this.panel.hidden = !this.showsDetails;
    this.pswp.element.classList.toggle("pswp--with-details", this.showsDetails);
    this.renderDetails();
    this.pswp.updateSize(true);
  }

  renderDetails() {
    const { tile } = this;
    render(this.showsDetails && tile ? html`<${Details} key=${tile.id} tile=${tile} onSaved=${() => this.saved(tile.id)} />` : null, this.panel);
  }

  /** Requests new URLs once for a picture that could not be loaded: they expire after hours. */
  async renew(id) {
    if (this.renewed.has(id)) return;
    this.renewed.add(id);
    if (await reload(id)) this.pswp.refreshSlideContent(this.indexOf(id));
  }

  /** Shows a picture again that was changed: its URLs depend on who can see it. */
  async saved(id) {
    await reload(id);
    this.pswp.refreshSlideContent(this.indexOf(id));
  }

  /** Returns the space around the picture in pixels: for the buttons, and for the details beside or below it. */
  padding() {
    const isBeside = innerWidth >= MIN_WIDTH_BESIDE;
    const right = this.showsDetails && isBeside ? PANEL_WIDTH : 0;
    const bottom = this.showsDetails && !isBeside ? PANEL_SHARE * innerHeight : 16;
    return { top: 56, bottom, left: 0, right };
  }

  /** Deletes the picture, and shows the next one. */
  async delete() {
    if (this.isDeleting) return;
    this.isDeleting = true;
    const { pswp, tile } = this;
    const isDeleted = await deleteWithUndo(tile);
    this.isDeleting = false;
    if (!isDeleted) return;
    const list = this.list().filter((other) => other !== tile);
    if (list.length === 0) {
      this.close();
      return;
    }
    const index = Math.min(pswp.currIndex, list.length - 1);
    this.shown = list[index].id;
    this.moveTo(index);
  }
}

function setInert(inert) {
  for (const part of document.querySelectorAll("#app > .skip-link, #app > header, #app > main, #app > .uploads")) part.inert = inert;
}

/** Returns a picture as PhotoSwipe describes it. */
function slide(tile) {
  const sizes = tile ? [...tile.sizes, ...tile.large] : [];
  const largest = sizes.at(-1);
  if (!largest) return { id: tile?.id, html: `<p class="pswp__unavailable">${words.error}</p>` };
  const { id } = tile;
  const { width, height } = largest;
  // Thumbnails do not move. The original of a private picture has no URL of this origin.
  if (tile.animated && !tile.private) {
    return { id, src: new URL(`i/${id}`, base).href, width: tile.width, height: tile.height, alt: nameOf(tile) };
  }
  return {
    id,
    src: urlOfSize(tile, largest),
    srcset: srcset(tile, sizes),
    msrc: urlOfSize(tile, sizes[0]),
    width,
    height,
    alt: nameOf(tile),
  };
}
