// Checks of the viewer with fingers and the mouse: swiping, zooming and moving pictures.

import { strict as assert } from "node:assert";

import { until } from "./gallery_page.mjs";
import { openSynthetic } from "./synthetic_tiles.mjs";
import { openViewer, showsPicture } from "./viewer_checks.mjs";

export const PHONE = { viewport: { width: 360, height: 800 }, hasTouch: true, isMobile: true, deviceScaleFactor: 3 };
const DESKTOP = { viewport: { width: 1280, height: 800 } };
const MAX_TRANSITION_MS = 200;

/** Opens a picture of a gallery of twenty. */
async function openPicture(world, options, index = 5) {
  const visit = await world.visit(options);
  const opened = await openSynthetic(world, visit, 20);
  await openViewer(opened.page, opened.ids[index]);
  await isStill(opened.page);
  return { ...opened, visit };
}

/** Returns a function that touches the page with fingers, moves them and lifts them: `[[x, y], …]` for each step. */
async function fingers(page) {
  const session = await page.context().newCDPSession(page);
  const send = (type, points) =>
    session.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
  return {
    touch: (points) => send("touchStart", points),
    move: (points) => send("touchMove", points),
    lift: () => send("touchEnd", []),
  };
}

/** Moves one finger in small steps, and lifts it. */
export async function swipe(page, [fromX, fromY], [toX, toY], steps = 8) {
  const { touch, move, lift } = await fingers(page);
  await touch([[fromX, fromY]]);
  for (let step = 1; step <= steps; step++) {
    await move([[fromX + ((toX - fromX) * step) / steps, fromY + ((toY - fromY) * step) / steps]]);
  }
  await lift();
}

/** Where the picture is: `step` places from the one that is shown. */
async function boxOf(page, index) {
  return page.locator(`.slide img.full[alt="Picture ${index + 1}"]`).evaluate((image) => {
    const { left, top, right, bottom, width, height } = image.getBoundingClientRect();
    return { left, top, right, bottom, width, height };
  });
}

/** Waits until the viewer has no transitions any more. */
async function isStill(page) {
  await until(page, "nothing moves", () => {
    const viewer = document.querySelector(".viewer");
    return !viewer || (!viewer.querySelector(".settling") && viewer.getAnimations({ subtree: true }).length === 0);
  });
}

function assertNear(actual, expected, what, tolerance = 2) {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual}, not ${expected}`);
}

/** Asserts that a picture fills what it can of the page: it does not lie outside, where nobody would find it. */
function assertFills(box, { width }) {
  assert.ok(box.left <= 1 && box.right >= width - 1, `from ${box.left} to ${box.right} of ${width}`);
}

export const checks = {
  async "A swipe moves the picture with the finger, with its neighbours, and then to the next"(world) {
    const { page, ids } = await openPicture(world, PHONE);
    const before = [await boxOf(page, 5), await boxOf(page, 6)];
    assertNear(before[0].width, 360, "the picture reaches the edges of the page");
    const { touch, move, lift } = await fingers(page);
    await touch([[300, 400]]);
    for (const x of [280, 240, 200, 150]) await move([[x, 400]]);
    await until(page, "the picture follows", () => document.querySelector(".slide[aria-hidden=false] img").getBoundingClientRect().left < -140);
    const during = [await boxOf(page, 5), await boxOf(page, 6)];
    assertNear(during[0].left - before[0].left, during[1].left - before[1].left, "both move together");
    assert.ok(during[1].left < 360, "the next picture is visible");
    await lift();
    await showsPicture(page, ids[6]);
    await isStill(page);
    assertNear((await boxOf(page, 6)).left, 0, "the next picture is in its place");
    await swipe(page, [60, 400], [300, 420]);
    await showsPicture(page, ids[5]);
  },

  async "A short swipe, and one beyond the first picture, return"(world) {
    const { page, ids } = await openPicture(world, PHONE, 0);
    const { touch, move, lift } = await fingers(page);
    await touch([[60, 400]]);
    for (const x of [100, 160, 220, 280, 340]) await move([[x, 400]]);
    await until(page, "the picture resists", () => document.querySelector(".slide[aria-hidden=false] img").getBoundingClientRect().left > 20);
    assert.ok((await boxOf(page, 0)).left < 140, "it does not follow all the way");
    await lift();
    await isStill(page);
    assertNear((await boxOf(page, 0)).left, 0, "the first picture is in its place");
    await touch([[200, 400]]);
    for (const x of [190, 180, 170]) await move([[x, 400]]);
    // Otherwise, it would be a quick swipe.
    await page.waitForTimeout(100);
    await lift();
    await isStill(page);
    assertNear((await boxOf(page, 0)).left, 0, "the picture is in its place again");
    await showsPicture(page, ids[0]);
  },

  async "A swipe down closes the viewer, one up does not"(world) {
    const { page, ids } = await openPicture(world, PHONE);
    await swipe(page, [180, 500], [190, 250]);
    await isStill(page);
    await showsPicture(page, ids[5]);
    await swipe(page, [180, 300], [190, 600]);
    await page.locator(".viewer").waitFor({ state: "detached" });
    await page.waitForURL(/\/app\/$/);
    await until(page, "the picture has the focus", (id) => document.activeElement.href?.includes(id), ids[5]);
  },

  async "Two fingers zoom at the point between them, and one finger then moves the picture"(world) {
    const { page, ids } = await openPicture(world, PHONE);
    const before = await boxOf(page, 5);
    const { touch, move, lift } = await fingers(page);
    const middle = [before.left + before.width / 2, before.top + before.height / 2];
    const spread = (distance) => [[middle[0] - distance, middle[1]], [middle[0] + distance, middle[1]]];
    await touch(spread(40));
    for (const distance of [50, 60, 70, 80]) await move(spread(distance));
    await lift();
    const after = await boxOf(page, 5);
    assertNear(after.width / before.width, 2, "the picture is twice as wide", 0.1);
    assertNear(after.left + after.width / 2, middle[0], "the point stays", 5);
    for (let time = 0; time < 3; time++) await swipe(page, [100, 400], [330, 400]);
    assertNear((await boxOf(page, 5)).left, 0, "the picture stops at its edge");
    for (let time = 0; time < 3; time++) await swipe(page, [300, 400], [20, 300]);
    assertNear((await boxOf(page, 5)).right, 360, "and at the other");
    await showsPicture(page, ids[5]);
    await touch(spread(100));
    for (const distance of [80, 60, 40, 20]) await move(spread(distance));
    await lift();
    await isStill(page);
    assert.deepEqual(await boxOf(page, 5), before, "two fingers bring it back");
    await swipe(page, [300, 400], [60, 400]);
    await showsPicture(page, ids[6]);
  },

  async "A double tap zooms at its point, and another one back"(world) {
    const { page } = await openPicture(world, PHONE);
    const before = await boxOf(page, 5);
    const [x, y] = [before.left + before.width * 0.75, before.top + before.height * 0.5];
    const { touch, lift } = await fingers(page);
    const tapTwice = async () => {
      // Without waiting, because taps that are slow are not a double tap.
      await Promise.all([touch([[x, y]]), lift(), touch([[x, y]]), lift()]);
      await isStill(page);
    };
    await tapTwice();
    const after = await boxOf(page, 5);
    assert.ok(after.width > 1.9 * before.width, `${after.width} pixels`);
    assertNear((x - after.left) / after.width, 0.75, "the point stays", 0.01);
    await tapTwice();
    assert.deepEqual(await boxOf(page, 5), before);
  },

  async "A double click zooms at its point, and a picture that is dragged cannot be lost"(world) {
    const { page, ids } = await openPicture(world, DESKTOP, 3);
    const before = await boxOf(page, 3);
    const [x, y] = [before.left + before.width / 4, before.top + before.height / 4];
    await page.mouse.dblclick(x, y);
    await isStill(page);
    const after = await boxOf(page, 3);
    assert.ok(after.width > 1.5 * before.width, `${after.width} pixels`);
    assertNear((x - after.left) / after.width, 0.25, "the point stays", 0.01);
    for (const [dx, dy] of [[2000, 2000], [-4000, -4000], [3000, -3000]]) {
      await page.mouse.move(640, 400);
      await page.mouse.down();
      for (let step = 1; step <= 4; step++) await page.mouse.move(640 + (dx * step) / 4, 400 + (dy * step) / 4);
      await page.mouse.up();
      assertFills(await boxOf(page, 3), DESKTOP.viewport);
    }
    await showsPicture(page, ids[3]);
    await page.mouse.dblclick(640, 400);
    await isStill(page);
    assert.deepEqual(await boxOf(page, 3), before);
  },

  async "The wheel moves a zoomed picture, and zooms with Ctrl; arrow keys move it up and down"(world) {
    const { page } = await openPicture(world, DESKTOP, 3);
    const before = await boxOf(page, 3);
    await page.mouse.move(640, 400);
    await page.mouse.wheel(0, 300);
    assert.deepEqual(await boxOf(page, 3), before, "the wheel alone does not zoom");
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, -500);
    await page.keyboard.up("Control");
    const isTwice = (width) => document.querySelector(".slide[aria-hidden=false] img").getBoundingClientRect().width > 1.9 * width;
    await until(page, "the picture is larger", isTwice, before.width);
    const zoomed = await boxOf(page, 3);
    const isMoved = (top) => document.querySelector(".slide[aria-hidden=false] img").getBoundingClientRect().top < top - 50;
    await page.mouse.wheel(0, 100);
    await until(page, "the wheel moves it", isMoved, zoomed.top);
    await page.keyboard.press("ArrowDown");
    await until(page, "the key moves it", isMoved, zoomed.top - 100);
    await page.mouse.wheel(0, 5000);
    await page.mouse.wheel(5000, 0);
    await until(page, "it stops at its edge", () => {
      const { right, bottom } = document.querySelector(".slide[aria-hidden=false] img").getBoundingClientRect();
      return Math.abs(right - innerWidth) < 2 && bottom > innerHeight - 40;
    });
    assert.equal(await page.evaluate(() => scrollY), 0, "the gallery below does not scroll");
  },

  async "The next picture is not zoomed, and neither is this one after that"(world) {
    const { page, ids } = await openPicture(world, DESKTOP, 3);
    const before = await boxOf(page, 3);
    for (const zoom of [() => page.keyboard.press("z"), () => page.getByRole("button", { name: "Zoom" }).click()]) {
      await zoom();
      await isStill(page);
      assert.ok((await boxOf(page, 3)).width > 1.5 * before.width);
      await page.keyboard.press("ArrowRight");
      await showsPicture(page, ids[4]);
      const { left, right, top, bottom } = await boxOf(page, 4);
      assert.ok(left >= 0 && top >= 0 && right <= 1280 && bottom <= 800, "the next picture fits");
      await page.keyboard.press("ArrowLeft");
      await showsPicture(page, ids[3]);
      assert.deepEqual(await boxOf(page, 3), before);
    }
  },

  async "A zoomed picture stays as it is when others are added and removed"(world) {
    const { page, ids, gallery } = await openPicture(world, DESKTOP, 3);
    await page.keyboard.press("Delete");
    await showsPicture(page, ids[4]);
    await page.keyboard.press("z");
    await isStill(page);
    const zoomed = await boxOf(page, 4);
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("Picture restored.").waitFor();
    assert.deepEqual(gallery.restored, [ids[3]]);
    await showsPicture(page, ids[4]);
    assert.deepEqual(await boxOf(page, 4), zoomed);
    await page.keyboard.press("ArrowLeft");
    await showsPicture(page, ids[3]);
  },

  async "Pictures fit when the page is resized and when the details take space, and request no more than they show"(world) {
    const { page } = await openPicture(world, { ...DESKTOP, deviceScaleFactor: 3 }, 3);
    const assertFits = async (width, height) => {
      await until(page, `the picture fits ${width} × ${height}`, ([width, height]) => {
        const image = document.querySelector(".slide[aria-hidden=false] img.full");
        const { left, top, right, bottom, width: shown } = image.getBoundingClientRect();
        const isInside = left >= 0 && top >= 0 && right <= width && bottom <= height;
        return isInside && shown > 0.4 * width && image.sizes === `${Math.round(shown)}px`;
      }, [width, height]);
    };
    await assertFits(1280, 800);
    await page.setViewportSize({ width: 600, height: 900 });
    await assertFits(600, 900);
    await page.keyboard.press("i");
    await assertFits(600, 360);
    await page.setViewportSize({ width: 1280, height: 800 });
    await assertFits(940, 800);
    await page.keyboard.press("z");
    await isStill(page);
    const { width } = await boxOf(page, 3);
    await until(page, "the zoomed picture requests more", (width) => {
      const { sizes } = document.querySelector(".slide[aria-hidden=false] img.full");
      return Math.abs(Number.parseInt(sizes, 10) - width) < 2;
    }, width);
  },

  async "Transitions are short, and there are none if motion is to be reduced"(world) {
    for (const reducedMotion of ["no-preference", "reduce"]) {
      const { page, ids } = await openPicture(world, { ...PHONE, reducedMotion });
      await page.evaluate(() => {
        window.durations = [];
        const note = () => {
          for (const animation of document.querySelector(".viewer")?.getAnimations({ subtree: true }) ?? []) {
            window.durations.push(animation.effect.getComputedTiming().endTime);
          }
          requestAnimationFrame(note);
        };
        note();
      });
      await page.keyboard.press("z");
      await isStill(page);
      await page.keyboard.press("z");
      await isStill(page);
      await swipe(page, [300, 400], [60, 400]);
      await showsPicture(page, ids[6]);
      await isStill(page);
      const longest = Math.max(0, ...(await page.evaluate(() => window.durations)));
      assert.equal(longest > 0, reducedMotion !== "reduce", `${reducedMotion}: ${longest} ms`);
      assert.ok(longest < MAX_TRANSITION_MS, `${longest} ms`);
    }
  },

  async "A click beside the picture closes the viewer, and one on it does not"(world) {
    const { page, ids } = await openPicture(world, DESKTOP, 1);
    const { left } = await boxOf(page, 1);
    await page.waitForTimeout(500);
    await page.mouse.click(640, 400);
    await showsPicture(page, ids[1]);
    await page.mouse.click(left - 60, 200);
    await page.locator(".viewer").waitFor({ state: "detached" });
  },

  async "A picture that cannot be loaded says so, and the others are shown"(world) {
    const visit = await world.visit({ ...DESKTOP, deviceScaleFactor: 3 });
    visit.expect(/404/);
    // The gallery shows the thumbnail. The viewer needs a larger version.
    const path = ({ tiles }) => {
      const [size] = tiles[4].sizes;
      tiles[4].large = [JSON.parse(JSON.stringify({ ...size, width: 2 * size.width, height: 2 * size.height }).replace("width=1200", "width=1999"))];
      return "app/";
    };
    const { page, ids } = await openSynthetic(world, visit, 20, { path });
    const requests = [];
    await visit.context.route(/width=1999/, (route) => {
      requests.push(route.request().url());
      return route.fulfill({ status: 404 });
    });
    await openViewer(page, ids[2]);
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await page.locator(".slide[aria-hidden=false]").getByText("This picture cannot be shown.").waitFor();
    assert.equal(requests.length, 2, "it is tried again once");
    await page.keyboard.press("z");
    await page.keyboard.press("ArrowRight");
    await showsPicture(page, ids[5]);
  },

  async "Pressing Esc twice closes the viewer only"(world) {
    const { page } = await openPicture(world, DESKTOP);
    await page.evaluate(() => {
      for (const _ of [1, 2]) dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    });
    await page.locator(".viewer").waitFor({ state: "detached" });
    await page.waitForURL(/\/app\/$/);
    await page.locator(".tile").first().waitFor();
  },
};
