// How far a picture follows a finger that swipes, and where it goes then.

/** Between two pictures, in pixels. */
export const GAP = 24;
export const STILL = { x: 0, y: 0 };
/** A swipe counts from this distance, or this share of the page, including where its speed would take it in so many milliseconds. */
const MIN_DISTANCE = 150;
const MIN_SHARE = 1 / 3;
const COASTING_MS = 150;
/** Where nothing follows, a picture moves so much of the way. */
const ELASTICITY = 0.3;

/** Returns how far the picture moves with a drag. `leads(step)` tells whether there is a picture so many places after it. */
export function offsetOf({ kind, total, isTouch }, leads) {
  if (kind === "horizontal") return { x: total.x * (leads(total.x > 0 ? -1 : 1) ? 1 : ELASTICITY), y: 0 };
  return isTouch ? { x: 0, y: total.y * (total.y > 0 ? 1 : ELASTICITY) } : STILL;
}

/** Returns by how many pictures a swipe goes on: -1, 0 or 1. */
export function stepOf(offset, speed, area) {
  return isFar(offset.x, speed.x, area.width) ? -Math.sign(offset.x) : 0;
}

/** Returns whether a swipe goes down. */
export function isDown(offset, speed, area) {
  return offset.y > 0 && isFar(offset.y, speed.y, area.height);
}

function isFar(distance, speed, length) {
  const end = distance + speed * COASTING_MS;
  return end * distance > 0 && Math.abs(end) > Math.min(MIN_DISTANCE, length * MIN_SHARE);
}
