// Checks of pictures that move.

import { strict as assert } from "node:assert";

import { createUser, openGallery, showsPictures, signIn, tileOf, until } from "./gallery_page.mjs";
import { animation, upload } from "./pictures.mjs";
import { eventually } from "./share_page.mjs";

/** Waits until the picture in the viewer is the original, which is `width` pixels wide, and moves. */
export async function moves(page, width) {
  const picture = page.locator(".slide[aria-hidden=false] .picture");
  const isLoaded = (width) => document.querySelector(".slide[aria-hidden=false] img.full")?.naturalWidth === width;
  await until(page, "it is loaded", isLoaded, width);
  await picture.locator("img").nth(1).waitFor({ state: "detached" });
  const first = await picture.screenshot();
  await eventually("the picture moves", async () => !first.equals(await picture.screenshot()));
}

async function uploadAnimation(service, user) {
  return upload(service, user, animation(320, 240), "moving.gif", { title: "Moving", visibility: "private" });
}

export const checks = {
  async "A private animated picture moves in the viewer of its owner, who has signed in"(world, visit) {
    const service = await world.required();
    const account = await createUser(service);
    const image = await uploadAnimation(service, account);
    const page = await openGallery(visit, service, null);
    await signIn(page, account);
    await showsPictures(page, ["Moving (private)"]);
    assert.equal(await page.locator(".tile img[src*=original]").count(), 0, "the gallery shows thumbnails");
    await tileOf(page, image).click();
    await moves(page, 320);
    await page.keyboard.press("Escape");
    await page.locator(".viewer").waitFor({ state: "detached" });
    await tileOf(page, image).press("Enter");
    await moves(page, 320);
  },

  async "The viewer requests a new URL of an animated picture once its URL has expired"(world, visit) {
    visit.expect(/403/);
    const service = await world.prefixed();
    const user = createUser(service);
    const image = await uploadAnimation(service, user);
    let refused = 0;
    await visit.context.route(/\/original\?/, (route) => (refused++ ? route.continue() : route.fulfill({ status: 403 })));
    const page = await openGallery(visit, service, user);
    await tileOf(page, image).click();
    await moves(page, 320);
    assert.ok(refused > 1);
  },
};
