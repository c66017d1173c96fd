// Makes gestures of pointer events: drags in one direction, pinches with two fingers, taps and double taps.

/** A pointer that moves less is a tap. */
const SLOP = 8;
const DOUBLE_TAP_MS = 350;
const DOUBLE_TAP_DISTANCE = 30;
/** A pointer that rests for so long before it is lifted has no speed. */
const REST_MS = 60;

export class Gestures {
  pointers = new Map();
  lastTap = null;

  /**
   * `onStart()`, `onDrag(drag)`, `onRelease(drag)`, `onTap(tap)`, `onDoubleTap(tap)`.
   * A drag has its `kind`: `horizontal`, `vertical` or `pinch`; `at`, where it was, and `by`, how far it has moved since; `total`,
   * how far altogether; `ratio`, by how much the fingers have spread; `speed` in pixels per millisecond; and `isTouch`.
   */
  constructor(handlers) {
    this.handlers = handlers;
  }

  press = (event) => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    // Also outside the element, and if what was touched disappears.
    event.currentTarget.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, pointOf(event));
    if (this.pointers.size === 1) {
      Object.assign(this, { kind: null, target: event.target, origin: pointOf(event), speed: { x: 0, y: 0 }, time: event.timeStamp });
      this.handlers.onStart();
    } else {
      this.kind = "pinch";
    }
  };

  move = (event) => {
    if (!this.pointers.has(event.pointerId)) return;
    const at = this.middle();
    this.pointers.set(event.pointerId, pointOf(event));
    const middle = this.middle();
    if (!this.kind && distance(this.origin, middle) > SLOP) {
      this.kind = Math.abs(middle.x - this.origin.x) > Math.abs(middle.y - this.origin.y) ? "horizontal" : "vertical";
      // From here, so that nothing jumps.
      this.origin = at;
    }
    if (!this.kind) return;
    const by = difference(middle, at);
    const elapsed = Math.max(event.timeStamp - this.time, 1);
    this.speed = { x: by.x / elapsed, y: by.y / elapsed };
    this.time = event.timeStamp;
    this.handlers.onDrag(this.drag(event, { at, by, ratio: at.spread ? middle.spread / at.spread : 1 }));
  };

  lift = (event) => {
    const point = this.pointers.get(event.pointerId);
    if (!this.pointers.delete(event.pointerId) || this.pointers.size > 0) return;
    if (this.kind) {
      if (event.timeStamp - this.time > REST_MS) this.speed = { x: 0, y: 0 };
      this.handlers.onRelease(this.drag(event, { at: point }));
    } else if (event.type === "pointerup") {
      this.tap(event);
    }
  };

  drag({ pointerType }, { at, ...change }) {
    const { kind, speed } = this;
    const end = change.by ? { x: at.x + change.by.x, y: at.y + change.by.y } : at;
    return { kind, speed, at, ...change, total: difference(end, this.origin), isTouch: pointerType !== "mouse" };
  }

  tap(event) {
    const at = pointOf(event);
    const { lastTap } = this;
    const isSecond = lastTap && event.timeStamp - lastTap.time < DOUBLE_TAP_MS && distance(at, lastTap.at) < DOUBLE_TAP_DISTANCE;
    this.lastTap = isSecond ? null : { at, time: event.timeStamp };
    const tap = { at, target: this.target, isTouch: event.pointerType !== "mouse" };
    if (isSecond) this.handlers.onDoubleTap(tap);
    else this.handlers.onTap(tap);
  }

  /** The point between the fingers, and how far they are apart. */
  middle() {
    const [one, other = one] = this.pointers.values();
    return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, spread: distance(one, other) };
  }
}

function pointOf(event) {
  return { x: event.clientX, y: event.clientY };
}

function difference(one, other) {
  return { x: one.x - other.x, y: one.y - other.y };
}

function distance(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
