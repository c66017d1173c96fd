// One picture of the viewer: its thumbnail, until the picture itself is loaded.

import { Component, html } from "../ui/html.js";
import { averageColor, isTransparent } from "../gallery/placeholder.js";
import { nameOf } from "../gallery/tiles.js";
import { renew } from "./shown.js";
import { sourceOf } from "./source.js";
import { fit } from "./zoom.js";
import { texts } from "../texts.js";

export class Slide extends Component {
  state = { isLoaded: false, failed: null, attempt: 0 };

  /** The thumbnail stays until then, so that nothing flashes. */
  load = async ({ currentTarget }) => {
    await currentTarget.decode().catch(() => {});
    this.setState({ isLoaded: true });
  };

  /** Requests new URLs once: they expire after hours. */
  fail = async () => {
    const isRetried = this.state.attempt === 0 && (await renew(this.props.tile.id));
    this.setState(isRetried ? { attempt: 1 } : { failed: this.props.tile });
  };

  /** `view`: how the picture is zoomed; `detail`: how much larger than its box it has been. */
  render({ tile, step, area, view, detail }, { isLoaded, failed, attempt }) {
    const source = sourceOf(tile);
    const box = fit(source ?? area, area);
    const place = { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` };
    const transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    return html`<div class="slide" aria-hidden=${step === 0 ? "false" : "true"} style=${{ left: `calc(${step} * (100% + var(--gap)))` }}>
      ${source && failed !== tile
        ? html`<div class=${isTransparent(tile.placeholder) ? "picture checkered" : "picture"} style=${{ ...place, transform, backgroundColor: isLoaded ? "transparent" : averageColor(tile.placeholder) }}>
            ${!isLoaded && html`<img key="preview" src=${source.preview} alt="" draggable=${false} />`}
            <img
              key=${attempt}
              class="full"
              src=${source.src}
              srcset=${source.srcset}
              sizes=${`${Math.ceil(box.width * detail)}px`}
              width=${source.width}
              height=${source.height}
              alt=${nameOf(tile)}
              draggable=${false}
              onLoad=${this.load}
              onError=${this.fail}
            />
          </div>`
        : html`<p class="unavailable">${texts.viewer.error}</p>`}
    </div>`;
  }
}
