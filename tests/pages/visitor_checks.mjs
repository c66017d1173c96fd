// Checks of the pages with which visitors see shares and public collections.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";

import { moves } from "./animation_checks.mjs";
import { createCollection, send } from "./collection_page.mjs";
import { MAX_LAYOUT_SHIFT, areLoaded, assertRowsFillWidth, layoutShift } from "./gallery_checks.mjs";
import { sharedPictures, showsPictures, until } from "./gallery_page.mjs";
import { PHONE, swipe } from "./gesture_checks.mjs";
import { WAYS } from "./keyboard.mjs";
import { animation, upload } from "./pictures.mjs";
import { PREFIX } from "./proxy.mjs";
import { assertBelowShares, createShare, isClosed, openShared, requestsOf, sharedTile, showsInViewer } from "./share_page.mjs";

/** A title that would end the script or begin an element if it were not escaped. */
const MARKUP = `</script><b>"1" & 'one'</b>`;

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

function detailsOf(page) {
  return page.locator(".viewer .details");
}

async function originalIsLoaded(page, { sha256: expected }, act) {
  const downloading = page.waitForEvent("download");
  await act();
  const download = await downloading;
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  assert.equal(sha256(Buffer.concat(chunks)), expected, "the original is downloaded");
  return download.suggestedFilename();
}

export const checks = {
  async "The page of a share shows a private collection in its order, and requests only what belongs to shares"(world) {
    for (const service of [await world.trusted(), await world.prefixed()]) {
      const visit = await world.visit();
      const { owner, images } = await sharedPictures(service);
      const ordered = [...images.slice(4), ...images.slice(0, 4)];
      const name = await createCollection(service, owner, ordered, { visibility: "private" });
      const share = await createShare(service, owner, { collection: name });
      const requests = requestsOf(visit);
      const page = await visit.open(service, share.path);
      await showsPictures(page, ordered.map(({ title }) => title));
      await areLoaded(page);
      assert.ok((await layoutShift(page)) <= MAX_LAYOUT_SHIFT);
      await assertRowsFillWidth(page);
      await page.getByRole("heading", { name, level: 1 }).waitFor();
      await page.getByRole("status").getByText("9 pictures").waitFor();
      assert.equal(await page.title(), name);
      await sharedTile(page, ordered[0]).click();
      await showsInViewer(page, ordered[0]);
      await page.keyboard.press("ArrowRight");
      await showsInViewer(page, ordered[1]);
      await page.keyboard.press("i");
      await originalIsLoaded(page, ordered[1], () => detailsOf(page).getByRole("link", { name: "Download" }).click());
      await page.reload();
      await showsInViewer(page, ordered[1]);
      await page.setViewportSize(PHONE.viewport);
      await page.keyboard.press("Escape");
      await areLoaded(page);
      assertBelowShares(service, requests);
      assert.ok(new URL(page.url()).pathname.startsWith(service.publicUrl.endsWith(PREFIX) ? `${PREFIX}/s/` : "/s/"));
    }
  },

  async "Visitors open pictures, page through them, zoom, and go back"(world) {
    for (const activate of WAYS) {
      const visit = await world.visit();
      const { page, images, share } = await openShared(world, visit, ["1", "2", "3"]);
      const [one, two, three] = images;
      await activate(sharedTile(page, one));
      await showsInViewer(page, one);
      await activate(page.getByRole("button", { name: "Next picture" }));
      await showsInViewer(page, two);
      await page.keyboard.press("ArrowRight");
      await showsInViewer(page, three);
      assert.equal(await page.getByRole("button", { name: "Next picture" }).count(), 0, "no picture follows");
      await page.getByRole("status").getByText("3 / 3").waitFor();
      await activate(page.getByRole("button", { name: "Zoom" }));
      await page.locator(".stage.zoomed").waitFor();
      await page.keyboard.press("z");
      await page.locator(".stage.zoomed").waitFor({ state: "detached" });
      await page.keyboard.press("ArrowLeft");
      await showsInViewer(page, two);
      await page.keyboard.press("Escape");
      await isClosed(page, two);
      await activate(sharedTile(page, two));
      await showsInViewer(page, two);
      await page.goBack();
      await isClosed(page, two);
      await page.goForward();
      await showsInViewer(page, two);
      await activate(page.getByRole("button", { name: "Close" }));
      await isClosed(page, two);
      const linked = await visit.open(await world.trusted(), `${share.path}?image=${three.image_id}`);
      await showsInViewer(linked, three);
      await linked.keyboard.press("ArrowLeft");
      await showsInViewer(linked, two);
      await linked.keyboard.press("Escape");
      await isClosed(linked, two);
    }
  },

  async "Visitors swipe between pictures"(world) {
    const { page, images } = await openShared(world, await world.visit(PHONE), ["1", "2"]);
    await sharedTile(page, images[0]).tap();
    await showsInViewer(page, images[0]);
    await swipe(page, [300, 400], [60, 410]);
    await showsInViewer(page, images[1]);
    await until(page, "nothing moves", () => !document.querySelector(".settling"));
    await swipe(page, [180, 300], [190, 700]);
    await isClosed(page, images[1]);
  },

  async "Visitors learn what a picture is, but not whose, and download the original"(world) {
    for (const activate of WAYS) {
      const visit = await world.visit();
      const { service, user, images, page } = await openShared(world, visit, [MARKUP]);
      await send(service, user, "PATCH", `images/${images[0].image_id}`, { description: "Seen from the pier", tags: ["secret"] });
      await page.reload();
      await showsPictures(page, [MARKUP]);
      await activate(sharedTile(page, images[0]));
      await showsInViewer(page, images[0]);
      await activate(page.getByRole("button", { name: "Details" }));
      await detailsOf(page).getByRole("heading", { name: MARKUP, exact: true }).waitFor();
      const text = await detailsOf(page).innerText();
      assert.match(text, /Seen from the pier/);
      assert.match(text, /200 × 150 pixels/);
      assert.ok(!text.includes(user.id) && !text.includes("secret") && !/User|Visibility|Private/.test(text), text);
      for (const name of ["Edit", "Share", "Delete"]) assert.equal(await page.getByRole("button", { name }).count(), 0, name);
      assert.ok(!(await page.content()).includes(user.id), "the page does not say whose the pictures are");
      const file = await originalIsLoaded(page, images[0], () => activate(detailsOf(page).getByRole("link", { name: "Download" })));
      assert.equal(file, "small.png");
      await page.keyboard.press("i");
      await detailsOf(page).waitFor({ state: "detached" });
    }
  },

  async "Visitors can neither select nor delete pictures"(world, visit) {
    const { service, user, images, page } = await openShared(world, visit, ["1", "2"]);
    const requests = requestsOf(visit);
    await sharedTile(page, images[0]).focus();
    for (const key of ["Space", "Shift+Space", "Delete", "Control+a"]) await page.keyboard.press(key);
    assert.equal(await page.getByRole("checkbox").count(), 0);
    assert.equal(await page.locator(".selected, .selecting").count(), 0);
    assert.equal(await page.getByText("selected").count(), 0);
    await page.keyboard.press("Enter");
    await showsInViewer(page, images[0]);
    await page.keyboard.press("Delete");
    await page.keyboard.press("ArrowRight");
    await showsInViewer(page, images[1]);
    await page.keyboard.press("Escape");
    await showsPictures(page, ["1", "2"]);
    assert.deepEqual(requests.filter((request) => !request.startsWith("GET ")), []);
    assert.equal((await send(service, user, "GET", `images?user_id=${user.id}`)).total_count, 2);
  },

  async "An animated picture moves in the viewer"(world, visit) {
    const { service, user, name, page } = await openShared(world, visit, []);
    const image = await upload(service, user, animation(320, 240), "moving.gif", { visibility: "private" });
    await send(service, user, "PUT", `collections/${name}/images/${image.image_id}`);
    await page.reload();
    await sharedTile(page, image).click();
    await showsInViewer(page, image);
    await moves(page, 320);
  },
};
