// The picture and its neighbours, which follow the fingers: they can be swiped, zoomed and moved.

import { Component, createRef, html } from "../ui/html.js";
import { Gestures } from "./gestures.js";
import { Slide } from "./slide.js";
import { sourceOf } from "./source.js";
import { GAP, STILL, isDown, offsetOf, stepOf } from "./swipe.js";
import { FITTED, fit, zoomed } from "./zoom.js";

/** The pictures in the document, from the one that is shown: those after it are needed more often. */
export const STEPS = [-1, 0, 1, 2];
/** A picture that is hardly zoomed could not be swiped, and nobody would see why. */
const MIN_ZOOM = 1.1;
/** Some browsers count in lines what the wheel turns. */
const LINE = 20;
/** The wheel moves so far to double the size. */
const WHEEL_DOUBLES = 500;
/** The second click of a double click that opened the picture does not close it. */
const OPENING_MS = 500;

export class Stage extends Component {
  element = createRef();
  state = { id: null, area: null, view: FITTED, detail: 1, offset: STILL, isSettling: false };
  openedAt = performance.now();

  /** Another picture is neither zoomed nor moved. */
  static getDerivedStateFromProps({ around }, { id }) {
    const shown = around[STEPS.indexOf(0)].id;
    return shown === id ? null : { id: shown, view: FITTED, detail: 1, offset: STILL, isSettling: false };
  }

  gestures = new Gestures({
    onStart: () => this.finish(),
    onDrag: (drag) => this.drag(drag),
    onRelease: (drag) => this.release(drag),
    onTap: (tap) => this.tap(tap),
    onDoubleTap: ({ at }) => this.toggleZoom(at),
  });

  componentDidMount() {
    // Preact leaves this to components.
    this.props.ref.current = this;
    this.resizes = new ResizeObserver(([{ contentRect: area }]) => {
      this.setState({ area }, () => this.zoom({}));
    });
    this.resizes.observe(this.element.current);
  }

  componentDidUpdate({ around }) {
    // What a transition would lead to was about the other picture.
    if (around[STEPS.indexOf(0)].id !== this.at(0).id) this.done = null;
  }

  componentWillUnmount() {
    this.props.ref.current = null;
    this.resizes.disconnect();
  }

  at(step) {
    return this.props.around[STEPS.indexOf(step)];
  }

  get isZoomed() {
    return this.state.view.scale > 1;
  }

  /** Returns how the picture lies after zooming and moving; see `zoomed`. */
  viewAfter(change) {
    const { area, view } = this.state;
    const source = sourceOf(this.at(0));
    return source && area ? zoomed(view, change, fit(source, area), area) : FITTED;
  }

  zoom(change) {
    const view = this.viewAfter(change);
    this.setState({ view, detail: Math.max(this.state.detail, view.scale) });
  }

  /** Zooms in at a point, or in the middle, or out again. */
  toggleZoom(at = null) {
    const { area, detail } = this.state;
    const source = sourceOf(this.at(0));
    if (!source || !area) return;
    const { closeUp } = fit(source, area);
    const view = this.isZoomed ? FITTED : this.viewAfter({ scale: closeUp, at: at ?? { x: area.x + area.width / 2, y: area.y + area.height / 2 } });
    this.settle({ view, detail: Math.max(detail, view.scale) });
  }

  drag(drag) {
    const { kind, at, by, ratio } = drag;
    if (kind === "pinch" || this.isZoomed) {
      this.setState({ view: this.viewAfter({ scale: this.state.view.scale * ratio, at, by }), offset: STILL });
    } else {
      this.setState({ offset: offsetOf(drag, (step) => this.at(step)) });
    }
  }

  release({ kind, speed }) {
    const { area, view, offset } = this.state;
    if (kind === "pinch" || this.isZoomed) {
      if (view.scale < MIN_ZOOM) this.settle({ view: FITTED });
      else this.zoom({});
      return;
    }
    const step = stepOf(offset, speed, area);
    const next = this.at(step);
    if (step && next) this.settle({ offset: { x: -step * (area.width + GAP), y: 0 } }, () => this.props.onShow(next));
    else if (isDown(offset, speed, area)) this.settle({ offset: { x: 0, y: innerHeight } }, this.props.onClose);
    else this.settle({ offset: STILL });
  }

  tap({ target, isTouch }) {
    if (!isTouch && !target.closest(".picture") && performance.now() - this.openedAt > OPENING_MS) this.props.onClose();
  }

  /** Without Ctrl, which browsers also report for pinches on touchpads, the wheel moves a picture that is zoomed. */
  turn = (event) => {
    event.preventDefault();
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1;
    const [x, y] = [-unit * event.deltaX, -unit * event.deltaY];
    if (!event.ctrlKey) this.zoom({ by: { x, y } });
    else this.zoom({ scale: this.state.view.scale * 2 ** (y / WHEEL_DOUBLES), at: { x: event.clientX, y: event.clientY } });
  };

  /** Changes the state with a transition, and then calls a function. */
  settle(change, done = () => {}) {
    this.done = done;
    this.setState({ ...change, isSettling: true }, async () => {
      // There are none if motion is to be reduced.
      const transitions = this.element.current?.getAnimations({ subtree: true }) ?? [];
      await Promise.allSettled(transitions.map(({ finished }) => finished));
      if (this.done === done) this.finish();
    });
  }

  /** Ends a transition, at once if it is still going on. */
  finish() {
    const { done } = this;
    if (!done) return;
    this.done = null;
    this.setState({ isSettling: false, offset: STILL });
    done();
  }

  render({ around }, { area, view, detail, offset, isSettling }) {
    const { press, move, lift } = this.gestures;
    const opacity = area ? 1 - Math.max(offset.y, 0) / innerHeight : 1;
    const names = ["stage", isSettling && "settling", view.scale > 1 && "zoomed"].filter(Boolean).join(" ");
    const handlers = { onPointerDown: press, onPointerMove: move, onPointerUp: lift, onPointerCancel: lift, onWheel: this.turn };
    const slide = (tile, index) => {
      const step = STEPS[index];
      const own = step === 0 ? { view, detail } : { view: FITTED, detail: 1 };
      return tile && html`<${Slide} key=${tile.id} tile=${tile} step=${step} area=${area} ...${own} />`;
    };
    return html`<div ref=${this.element} class=${names} ...${handlers}>
      <div class="backdrop" style=${{ opacity }}></div>
      <div class="track" style=${{ transform: `translate(${offset.x}px, ${offset.y}px)`, "--gap": `${GAP}px` }}>${area && around.map(slide)}</div>
    </div>`;
  }
}
