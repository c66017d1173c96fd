// Checks of the viewer, which shows one picture over the whole page.

import { strict as assert } from "node:assert";

import { CAMERA, MARKUP, createUser, nameOf, openGallery, sharedPictures, showsPictures, tileOf, until } from "./gallery_page.mjs";
import { uploadSmall } from "./gallery_page.mjs";
import { upload } from "./pictures.mjs";
import { openSynthetic } from "./synthetic_tiles.mjs";
import { png } from "../uploads/png.mjs";

/** Waits until the page shows the picture with this id, and its URL names it. */
export async function showsPicture(page, id) {
  const isShown = (id) => {
    const slide = document.querySelector(".slide[aria-hidden=false]");
    const sources = [...(slide?.querySelectorAll("img") ?? [])].map(({ src }) => src);
    const isIts = sources.length > 0 && sources.every((src) => src.includes(`/images/${id}/`));
    return isIts && location.pathname.endsWith(`/images/${id}`);
  };
  await until(page, `picture ${id} is shown`, isShown, id);
}

/** Waits until only the gallery is shown, and the picture with this id has the focus. */
async function isClosedAndFocuses(page, id) {
  await page.locator(".viewer").waitFor({ state: "detached" });
  await until(page, `picture ${id} has the focus`, (id) => document.activeElement.href?.includes(id), id);
  assert.match(page.url(), /\/app\/(\?.*)?$/);
}

export async function openViewer(page, id) {
  await page.locator(`.tile a[href*="${id}"]`).click();
  await showsPicture(page, id);
}

export const checks = {
  async "A click opens a picture, arrow keys page, and Back closes it"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const ids = images.map(({ image_id: id }) => id);
    const page = await openGallery(visit, service, owner, "app/?tags=sea");
    await openViewer(page, ids[1]);
    await page.keyboard.press("ArrowRight");
    await showsPicture(page, ids[2]);
    await page.getByRole("button", { name: "Next picture" }).click();
    await showsPicture(page, ids[3]);
    await page.keyboard.press("ArrowLeft");
    await showsPicture(page, ids[2]);
    await until(page, "the picture is loaded", () => {
      const image = document.querySelector(".slide[aria-hidden=false] img.full");
      return image?.naturalWidth > 0;
    });
    await page.reload();
    await showsPicture(page, ids[2]);
    await page.keyboard.press("ArrowRight");
    await showsPicture(page, ids[3]);
    await page.goBack();
    await isClosedAndFocuses(page, ids[3]);
    assert.equal(new URL(page.url()).search, "?tags=sea", "the filters are the same");
    await page.goForward();
    await showsPicture(page, ids[3]);
  },

  async "Transparent parts of a picture have a light pattern behind them"(world, visit) {
    const service = await world.trusted();
    const user = createUser(service);
    const [width, height] = [600, 400];
    const row = Buffer.concat([Buffer.from([0]), ...Array.from({ length: width }, (_, x) => Buffer.from([9, 9, 9, x < 300 ? 0 : 255]))]);
    const logo = await upload(service, user, png(width, height, Buffer.concat(Array(height).fill(row)), { hasAlpha: true }), "logo.png");
    const [opaque] = await uploadSmall(service, user, ["Opaque"]);
    const page = await openGallery(visit, service, user);
    for (const { image_id: id, isTransparent } of [{ ...logo, isTransparent: true }, { ...opaque, isTransparent: false }]) {
      const isPatterned = ([selector, expected]) => {
        const element = document.querySelector(selector);
        return element && getComputedStyle(element).backgroundImage.includes("gradient") === expected;
      };
      await page.locator(`.tile a[href*="${id}"] img.loaded`).waitFor();
      await until(page, "the tile", isPatterned, [`.tile a[href*="${id}"] img`, isTransparent]);
      await openViewer(page, id);
      await until(page, "the viewer", isPatterned, [".slide[aria-hidden=false] .picture", isTransparent]);
      await page.keyboard.press("Escape");
      await isClosedAndFocuses(page, id);
    }
  },

  async "The keyboard alone opens and closes a picture"(world, visit) {
    const { page, ids } = await openSynthetic(world, visit, 20);
    const isOnTile = () => page.evaluate(() => document.activeElement.matches(".tile a"));
    for (let tabs = 0; tabs < 12 && !(await isOnTile()); tabs++) await page.keyboard.press("Tab");
    assert.ok(await isOnTile(), "Tab reaches the pictures");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    await showsPicture(page, ids[1]);
    await page.keyboard.press("ArrowRight");
    await showsPicture(page, ids[2]);
    await page.keyboard.press("Escape");
    await isClosedAndFocuses(page, ids[2]);
    await page.keyboard.press("Enter");
    await showsPicture(page, ids[2]);
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
    await isClosedAndFocuses(page, ids[2]);
  },

  async "The focus moves into the viewer, and stays there and in the messages"(world, visit) {
    const { page, ids } = await openSynthetic(world, visit, 20);
    await openViewer(page, ids[1]);
    await until(page, "the viewer has the focus", () => document.activeElement.closest(".viewer") !== null);
    for (let tabs = 0; tabs < 8; tabs++) {
      await page.keyboard.press("Tab");
      const isBelow = await page.evaluate(() => document.activeElement.closest("header, main") !== null);
      assert.ok(!isBelow, "the focus is in the page below the viewer");
    }
  },

  async "The details show what is known about a picture"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const [image, next] = images.slice(images.findIndex(({ title }) => title === MARKUP));
    const page = await openGallery(visit, service, owner);
    await tileOf(page, image).click();
    await showsPicture(page, image.image_id);
    await page.keyboard.press("i");
    const details = page.locator(".viewer .details");
    await details.getByRole("heading", { name: MARKUP }).waitFor();
    const value = (name) => details.locator("div", { has: page.locator("dt", { hasText: name }) }).locator("dd").innerText();
    assert.equal(await value("Camera"), CAMERA);
    assert.deepEqual((await value("Tags")).split("\n"), ["sea", "sunset"]);
    assert.ok((await value("Size")).startsWith(`${image.width} × ${image.height} pixels, `));
    assert.equal(await value("Visibility"), "Public: everyone can see it");
    await page.keyboard.press("ArrowRight");
    await details.getByRole("heading", { name: next.title }).waitFor();
    assert.equal(await value("Visibility"), "Private: only its owner can see it");
    assert.equal(await details.locator("dt", { hasText: "Camera" }).count(), 0);
    await page.getByRole("button", { name: "Details" }).click();
    await details.waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Details" }).click();
    await details.waitFor();
  },

  async "Deleting a picture can be undone"(world, visit) {
    const service = await world.trusted();
    const user = createUser(service);
    const images = await uploadSmall(service, user, ["First", "Second", "Third"]);
    const [third, second] = images.map(({ image_id: id }) => id).reverse();
    const statusOf = async (id) => (await service.get(`/images/${id}`, user.id)).status;
    const page = await openGallery(visit, service, user);
    await openViewer(page, third);
    await page.keyboard.press("Delete");
    await page.getByText("Picture deleted.").waitFor();
    await showsPicture(page, second);
    assert.equal(await statusOf(third), 404);
    await page.keyboard.press("Escape");
    await showsPictures(page, ["Second", "First"]);
    await page.getByRole("status").getByText("2 pictures").waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("Picture restored.").waitFor();
    assert.equal(await statusOf(third), 200);
    await showsPictures(page, ["Third", "Second", "First"]);
    await openViewer(page, third);
    await page.getByRole("button", { name: "Delete" }).click();
    await showsPicture(page, second);
    assert.equal(await statusOf(third), 404);
    await page.reload();
    await page.keyboard.press("Escape");
    await showsPictures(page, ["Second", "First"]);
  },

  async "The only picture closes when it is deleted"(world, visit) {
    const { page, ids, gallery } = await openSynthetic(world, visit, 1);
    await openViewer(page, ids[0]);
    await page.keyboard.press("Delete");
    await page.locator(".viewer").waitFor({ state: "detached" });
    await page.getByText("No pictures yet").waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await showsPictures(page, ["Picture 1"]);
    assert.deepEqual([gallery.deleted, gallery.restored], [ids, ids]);
  },

  async "A link to a picture of another user opens it, and does not offer to delete it"(world, visit) {
    const service = await world.trusted();
    const { images } = await sharedPictures(service);
    const [{ image_id: id }] = images;
    const user = createUser(service);
    const page = await openGallery(visit, service, user, `app/images/${id}`);
    await showsPicture(page, id);
    await page.getByRole("button", { name: "Details" }).waitFor();
    const offersDeletion = await page.getByRole("button", { name: "Delete" }).isVisible();
    await page.keyboard.press("Delete");
    await page.keyboard.press("i");
    await page.locator(".viewer .details").getByRole("heading", { name: images[0].title }).waitFor();
    assert.equal((await service.get(`/images/${id}`, user.id)).status, 200);
    await page.keyboard.press("Escape");
    await page.getByText("No pictures yet").waitFor();
    await page.waitForURL(/\/app\/$/);
    assert.ok(!offersDeletion, "the button Delete is shown for the picture of another user");
  },

  async "A link to a missing picture shows a message and the gallery"(world, visit) {
    visit.expect(/404/);
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const page = await openGallery(visit, service, owner, "app/images/019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17");
    await page.locator(".toast").waitFor();
    await showsPictures(page, images.map(nameOf));
    await page.waitForURL(/\/app\/$/);
  },

  async "Arrow keys page beyond the pictures that are loaded, and the focus returns to the last"(world, visit) {
    const { page, ids } = await openSynthetic(world, visit, 150);
    await page.locator(".tile a").first().focus();
    await page.keyboard.press("End");
    await until(page, "the last picture has the focus", () => document.activeElement.dataset.index >= 99);
    await page.evaluate(() => scrollTo(0, 0));
    await openViewer(page, ids[0]);
    await page.keyboard.press("ArrowRight");
    await showsPicture(page, ids[1]);
    for (let index = 2; index <= 120; index++) await page.keyboard.press("ArrowRight");
    await showsPicture(page, ids[120]);
    await page.keyboard.press("Escape");
    await isClosedAndFocuses(page, ids[120]);
  },
};
