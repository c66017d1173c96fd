// One picture of the gallery: its placeholder, over which the picture appears once it is loaded.

import { Component, createRef, html } from "../ui/html.js";
import { icon } from "../ui/icons.js";
import { averageColor, isTransparent, paint } from "./placeholder.js";
import { extendTo, selection, toggle } from "./selection.js";
import { isTrash } from "./source.js";
import { nameOf, reload, srcset, urlOfSize } from "./tiles.js";
import { go, route, urlOf } from "../router.js";
import { texts } from "../texts.js";
import { visitor } from "../visitor/visitor.js";

/** A picture that takes longer than this has a placeholder. Until then, it has its average colour. */
const PLACEHOLDER_AFTER_MS = 100;
/** The placeholder has disappeared this long after the picture is loaded. */
const FADE_MS = 200;

export class Tile extends Component {
  canvas = createRef();
  image = createRef();
  state = { loaded: false, failed: false, isLate: false };
  isReloaded = false;

  componentDidMount() {
    const image = this.image.current;
    if (image?.complete && image.naturalWidth > 0) this.setState({ loaded: true });
    else this.timer = setTimeout(() => this.setState({ isLate: true }), PLACEHOLDER_AFTER_MS);
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    // Cancels the request of a picture that was scrolled past.
    if (!this.state.loaded) ["srcset", "src"].forEach((name) => this.image.current?.removeAttribute(name));
  }

  componentDidUpdate({ tile }, { isLate }) {
    if (tile !== this.props.tile && this.state.failed) this.setState({ failed: false });
    if (this.state.isLate && !isLate) paint(this.canvas.current, this.props.tile.placeholder);
  }

  shouldComponentUpdate(properties, state) {
    const { tile, index, box, isSelected } = this.props;
    const isPlaced = properties.index === index && sameBox(properties.box, box);
    const isSame = isPlaced && properties.tile === tile && properties.isSelected === isSelected;
    return !isSame || Object.keys(state).some((key) => state[key] !== this.state[key]);
  }

  load = () => {
    clearTimeout(this.timer);
    this.setState({ loaded: true });
    // The layers of many placeholders would make scrolling slow.
    if (this.state.isLate) this.timer = setTimeout(() => this.setState({ isLate: false }), FADE_MS);
  };

  /** The URLs expire after hours. New ones are requested once. */
  fail = async () => {
    const [{ url }] = this.props.tile.sizes;
    const tile = this.isReloaded || isTrash.peek() ? null : await reload(this.props.tile.id);
    this.isReloaded = true;
    if (tile?.sizes[0]?.url === url || !tile) this.setState({ failed: true });
  };

  open = (event) => {
    const { tile } = this.props;
    const isSelecting = selection.peek().size > 0 || isTrash.peek();
    if (isSelecting && event.shiftKey) extendTo(tile);
    // Other clicks open a new tab or window.
    else if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    else if (isSelecting) toggle(tile);
    // A double click opens it once.
    else go({ image: tile.id, query: route.peek().query }, { replace: Boolean(route.peek().image) });
    event.preventDefault();
  };

  /** The space bar selects, like a click on the box in the corner. */
  press = (event) => {
    if (event.key !== " " || visitor) return;
    event.preventDefault();
    toggle(this.props.tile);
  };

  render({ tile, index, box, isSelected }, { loaded, failed, isLate }) {
    const name = nameOf(tile);
    const pixels = Object.fromEntries(Object.entries(box).map(([side, value]) => [side, `${value}px`]));
    const label = tile.private ? `${name} (${texts.gallery.private})` : name;
    const hasFailed = failed || tile.sizes.length === 0;
    // A hidden picture gives the link no name.
    const nameUntilLoaded = loaded || hasFailed ? null : label;
    return html`<li class=${isSelected ? "tile selected" : "tile"} style=${{ ...pixels, backgroundColor: loaded ? "transparent" : averageColor(tile.placeholder) }}>
      <a href=${urlOf(isTrash.peek() ? { view: "trash" } : { image: tile.id, query: route.peek().query })} data-index=${index} aria-label=${nameUntilLoaded} onClick=${this.open} onKeyDown=${this.press}>
        ${tile.sizes.length > 0 &&
        html`<img
          ref=${this.image}
          class=${loaded ? (isTransparent(tile.placeholder) ? "loaded checkered" : "loaded") : ""}
          src=${urlOfSize(tile, tile.sizes[0])}
          srcset=${srcset(tile, tile.sizes)}
          sizes=${tile.shownSizes ?? `${box.width}px`}
          width=${box.width}
          height=${box.height}
          alt=${label}
          decoding="async"
          draggable=${false}
          onLoad=${this.load}
          onError=${this.fail}
        />`}
        ${isLate && html`<canvas ref=${this.canvas} aria-hidden="true"></canvas>`}
        ${hasFailed && html`<span class="failed">${name}: ${texts.gallery.unavailable}</span>`}
        ${tile.private && html`<span class="badge">${icon("lock")}</span>`}
      </a>
      ${!visitor &&
      html`<button
        class="select"
        role="checkbox"
        tabindex="-1"
        aria-checked=${isSelected ? "true" : "false"}
        aria-label=${texts.bulk.select(name)}
        onClick=${(event) => (event.shiftKey ? extendTo(tile) : toggle(tile))}
      >
        ${isSelected && icon("check")}
      </button>`}
    </li>`;
  }
}

function sameBox(one, other) {
  return one.left === other.left && one.top === other.top && one.width === other.width && one.height === other.height;
}
