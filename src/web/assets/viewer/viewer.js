// One picture over the whole page, with what can be done with it.

import { Component, createRef, html, observer } from "../ui/html.js";
import { icon } from "../ui/icons.js";
import { canDelete, deleteWithUndo, isOwner } from "./deletion.js";
import { Details } from "./details.js";
import { close, isListed, neighbour, position, renew, show, shown } from "./shown.js";
import { STEPS, Stage } from "./stage.js";
import { TakeDownQuestion } from "./take_down.js";
import { focus } from "../gallery/grid.js";
import { nameOf, total } from "../gallery/tiles.js";
import { texts } from "../texts.js";
import { visitor } from "../visitor/visitor.js";
import { VisitorDetails } from "../visitor/visitor_details.js";

const words = texts.viewer;
/** How far the arrow keys move a picture that is zoomed. */
const PAN = 80;

export const Viewer = observer(() => {
  if (!shown.value) return null;
  const count = isListed.value ? total.value : 1;
  return html`<${Lightbox} tile=${shown.value} around=${STEPS.map(neighbour)} number=${position.value + 1} count=${count} />`;
});

class Lightbox extends Component {
  element = createRef();
  stage = createRef();
  state = { showsDetails: false, asksAbout: null };
  isDeleting = false;

  componentDidMount() {
    // The messages can still be reached.
    setInert(true);
    this.element.current.focus();
    addEventListener("keydown", this.press);
  }

  componentWillUnmount() {
    removeEventListener("keydown", this.press);
    setInert(false);
    focus.picture(this.props.tile.id);
  }

  move(step) {
    const tile = neighbour(step);
    if (tile) show(tile);
  }

  toggleDetails = () => this.setState({ showsDetails: !this.state.showsDetails });

  zoom = () => this.stage.current.toggleZoom();

  delete = () => {
    const { tile } = this.props;
    if (this.isDeleting || !canDelete(tile)) return;
    if (isOwner(tile)) this.remove(tile);
    else this.setState({ asksAbout: tile });
  };

  /** Deletes a picture, and shows the next one if it is still the one that is shown. */
  remove = async (tile) => {
    this.isDeleting = true;
    await deleteWithUndo(tile, () => {
      if (shown.peek()?.id !== tile.id) return;
      const next = neighbour(1) ?? neighbour(-1);
      if (next) show(next);
      else close();
    });
    this.isDeleting = false;
  };

  press = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("dialog")) return;
    const { isZoomed } = this.stage.current;
    const actions = {
      escape: close,
      arrowleft: () => this.move(-1),
      arrowright: () => this.move(1),
      arrowup: isZoomed && (() => this.stage.current.zoom({ by: { x: 0, y: PAN } })),
      arrowdown: isZoomed && (() => this.stage.current.zoom({ by: { x: 0, y: -PAN } })),
      i: !event.repeat && this.toggleDetails,
      z: !event.repeat && this.zoom,
      delete: !event.repeat && this.delete,
    };
    const act = actions[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  };

  render({ tile, around, number, count }, { showsDetails, asksAbout }) {
    const button = (name, label, act, properties) =>
      html`<button class="icon-button" title=${label} aria-label=${label} onClick=${act} ...${properties}>${icon(name)}</button>`;
    return html`<div
      ref=${this.element}
      class=${showsDetails ? "viewer with-details" : "viewer"}
      role="dialog"
      aria-modal="true"
      aria-label=${words.label}
      tabindex="-1"
    >
      <${Stage} ref=${this.stage} around=${around} onShow=${show} onClose=${close} />
      <div class="buttons">
        <p role="status"><span class="hidden">${nameOf(tile)}</span> ${number} / ${count}</p>
        ${button("zoom", words.zoom, this.zoom)} ${button("info", words.details, this.toggleDetails, { "aria-expanded": String(showsDetails) })}
        ${canDelete(tile) && button("trash", isOwner(tile) ? words.delete : words.takeDown, this.delete)} ${button("close", words.close, close)}
      </div>
      <div class="arrows">
        ${button("previous", words.previous, () => this.move(-1), { disabled: number === 1 })}
        ${button("next", words.next, () => this.move(1), { disabled: !neighbour(1) })}
      </div>
      ${showsDetails && html`<div class="details"><${visitor ? VisitorDetails : Details} key=${tile.id} tile=${tile} onSaved=${() => renew(tile.id)} /></div>`}
      ${asksAbout && html`<${TakeDownQuestion} pictures=${[asksAbout]} onConfirm=${() => this.remove(asksAbout)} onClose=${() => this.setState({ asksAbout: null })} />`}
    </div>`;
  }
}

function setInert(inert) {
  for (const part of document.querySelectorAll("#app > .skip-link, #app > header, #app > main, #app > .uploads")) part.inert = inert;
}
