// Checks of long galleries, and of pictures that cannot be loaded.

import { strict as assert } from "node:assert";

import { openGallery, sharedPictures, showsPictures, until } from "./gallery_page.mjs";
import { openSynthetic, syntheticName } from "./synthetic_tiles.mjs";

const COUNT = 10_000;
const MAX_TILES = 300;
const OFFLINE = "The service cannot be reached. Check your connection, then try again.";
const SUNSETS = ({ pathname, search }) => pathname.endsWith("/app/tiles") && search.includes("tags=sunset");

/** Scrolls by so many screens in each frame until a picture is there. Returns the most pictures that the document had. */
function scrollTo(page, index, screens) {
  return page.evaluate(async ({ index, screens }) => {
    let most = 0;
    const count = () => { most = Math.max(most, document.querySelectorAll(".tile").length); };
    const changes = new MutationObserver(count);
    changes.observe(document.querySelector(".grid"), { childList: true });
    const end = performance.now() + 30_000;
    while (!document.querySelector(`.tile a[data-index="${index}"]`)) {
      if (performance.now() > end) throw new Error(`picture ${index} did not appear`);
      scrollBy(0, screens * innerHeight);
      await new Promise(requestAnimationFrame);
    }
    changes.disconnect();
    return most;
  }, { index, screens });
}

function focusedIndex(page) {
  return page.evaluate(() => Number(document.activeElement.dataset.index ?? NaN));
}

/** Presses a key, and waits until this picture has the focus. Returns its box. */
async function pressAndFocus(page, key, index) {
  await page.keyboard.press(key);
  const hasFocus = (index) => document.activeElement.dataset.index === String(index);
  await until(page, `${key} moves the focus to picture ${index}`, hasFocus, index);
  return page.evaluate(() => document.activeElement.getBoundingClientRect().toJSON());
}

export const checks = {
  async "Ten thousand pictures can be scrolled through, with few of them in the document"(world, visit) {
    const { page } = await openSynthetic(world, visit, COUNT, { hasFiles: false });
    await page.getByRole("status").getByText("10,000 pictures").waitFor();
    const down = await scrollTo(page, COUNT - 1, 12);
    await page.getByText(syntheticName(COUNT - 1)).waitFor();
    const up = await scrollTo(page, 0, -12);
    await page.getByText(`${syntheticName(0)}:`).waitFor();
    assert.ok(Math.max(up, down) <= MAX_TILES, `the document had ${up} and ${down} pictures`);
    assert.ok(Math.min(up, down) > 10, "the pictures were counted");
  },

  async "Arrow keys, Home and End move between pictures, and keep the focus in view"(world, visit) {
    const { page } = await openSynthetic(world, visit, 100);
    await page.locator(".tile a").first().focus();
    await pressAndFocus(page, "ArrowRight", 1);
    await pressAndFocus(page, "ArrowLeft", 0);
    await page.keyboard.press("ArrowDown");
    const below = await focusedIndex(page);
    assert.ok(below > 1, "the row below has the focus");
    await pressAndFocus(page, "ArrowUp", 0);
    const viewport = page.viewportSize();
    const end = await pressAndFocus(page, "End", 99);
    assert.ok(end.top >= 0 && end.bottom <= viewport.height, "the last picture is in view");
    await pressAndFocus(page, "Home", 0);
  },

  async "The bar at the top does not cover the picture that has the focus"(world, visit) {
    const { page } = await openSynthetic(world, visit, 60);
    const bar = await page.locator("header").boundingBox();
    await page.locator(".tile a").first().focus();
    await pressAndFocus(page, "End", 59);
    for (let index = 58; index > 30; index--) {
      const { top } = await pressAndFocus(page, "ArrowLeft", index);
      assert.ok(top >= bar.height, `the top of picture ${index} is at ${top}, and the bar is ${bar.height} high`);
    }
  },

  async "Pictures that could not be loaded can be tried again"(world, visit) {
    visit.expect(/ERR_FAILED/);
    const { owner, images } = await sharedPictures(await world.trusted());
    await visit.context.route(SUNSETS, (route) => route.abort());
    const page = await openGallery(visit, await world.trusted(), owner, "app/?tags=sunset");
    const alert = page.getByRole("alert");
    await alert.getByText(`The pictures could not be loaded. ${OFFLINE}`).waitFor();
    await visit.context.unrouteAll();
    await alert.getByRole("button", { name: "Try again" }).click();
    await showsPictures(page, images.filter(({ tags }) => tags.includes("sunset")).map(({ title }) => title));
    assert.equal(await alert.count(), 0);
  },

  async "A picture whose file cannot be loaded has a text in its place"(world, visit) {
    visit.expect(/ERR_FAILED/);
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const broken = images[3];
    await visit.context.route(({ pathname }) => pathname.includes(`/images/${broken.image_id}/`), (route) => route.abort());
    const page = await openGallery(visit, service, owner);
    await page.getByText(`${broken.title}: This picture cannot be shown.`).waitFor();
    assert.equal(await page.locator(".tile .failed").count(), 1);
  },

  async "Without a connection the gallery says so, and then continues"(world, visit) {
    visit.expect(/ERR_INTERNET_DISCONNECTED/);
    const { page, gallery } = await openSynthetic(world, visit, 300);
    await page.locator(".tile").first().waitFor();
    gallery.isOffline = true;
    await visit.context.setOffline(true);
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    const alert = page.getByRole("alert");
    await alert.getByText(`More pictures could not be loaded. ${OFFLINE}`).waitFor();
    gallery.isOffline = false;
    await visit.context.setOffline(false);
    await alert.getByRole("button", { name: "Try again" }).click();
    await scrollTo(page, 299, 2);
    assert.equal(await alert.count(), 0);
  },
};
