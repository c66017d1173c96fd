// Checks of pages that get odd addresses, stay open for long, or run in browsers that forbid things.

import { strict as assert } from "node:assert";

import { createUser, openGallery, sharedPictures, showsPictures, signIn, signOut, tileOf, until, uploadSmall } from "./gallery_page.mjs";
import { landscape, upload } from "./pictures.mjs";
import { areUploaded, choose, hold, openUploads, panelOf, pictures } from "./upload_page.mjs";

const THUMBNAILS = /\/images\/[^/]+\/thumbnail\?/;

export const checks = {
  async "Dates in the address that do not exist are shown as they are"(world, visit) {
    const service = await world.trusted();
    visit.expect(/422/);
    for (const date of ["abc", "2026-13-45", "99999999-01-01"]) {
      const page = await openGallery(visit, service, createUser(service), `app/?start_date=${date}`);
      await page.getByRole("button", { name: `Remove the filter “from ${date}”` }).click();
      await page.getByText("No pictures yet").waitFor();
    }
  },

  async "A double click opens a picture once"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const page = await openGallery(visit, service, owner);
    await tileOf(page, images[2]).dblclick();
    await page.getByRole("dialog", { name: "Picture" }).waitFor();
    await page.goBack();
    await page.waitForURL(/\/app\/$/);
    await page.getByRole("dialog", { name: "Picture" }).waitFor({ state: "detached" });
  },

  async "The gallery requests only thumbnails that exist, also on screens with a high resolution"(world) {
    const visit = await world.visit({ deviceScaleFactor: 3, viewport: { width: 1280, height: 800 } });
    const service = await world.trusted();
    const user = createUser(service);
    const { image_id: id } = await upload(service, user, landscape(1400, 900, 1), "large.png", { title: "Large" });
    const made = async () => /variants_total\{result="made"\} (\d+)/.exec(await (await fetch(`${service.url}/metrics`)).text())?.[1] ?? "0";
    const before = await made();
    const page = await openGallery(visit, service, user);
    await until(page, "the picture is shown", () => document.querySelector(".tile img.loaded"));
    assert.equal(await made(), before);
    await tileOf(page, { image_id: id }).click();
    await page.locator(".slide img.full").first().waitFor();
    await until(page, "the large version is shown", () => [...document.querySelectorAll(".slide img")].some((image) => image.naturalWidth > 900));
    assert.notEqual(await made(), before);
  },

  async "The viewer requests new URLs for a picture whose URLs have expired"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const page = await openGallery(visit, service, owner);
    await until(page, "the pictures are loaded", () => document.querySelectorAll(".tile img.loaded").length === 9);
    // Pictures in the cache would not be requested.
    visit.expect(/403/);
    let expired = true;
    await visit.context.route(THUMBNAILS, (route) => (expired ? route.fulfill({ status: 403 }) : route.continue()));
    const renewal = page.waitForRequest(new RegExp(`/app/tiles/${images[0].image_id}`));
    await page.evaluate(() => document.querySelectorAll(".tile img").forEach((image) => image.removeAttribute("srcset")));
    await tileOf(page, images[0]).click();
    await renewal;
    expired = false;
  },

  async "Pictures cannot be dragged out of their places, and browsers do not check the spelling of user names"(world, visit) {
    const service = await world.trusted();
    const { images } = await sharedPictures(service);
    const page = await visit.open(service, "app/");
    const name = page.getByRole("textbox", { name: "User name" });
    assert.equal(await name.evaluate((field) => field.spellcheck), false);
    await page.getByRole("button", { name: "Only look" }).click();
    await tileOf(page, images.find(({ visibility }) => visibility === "public")).click();
    await page.locator(".viewer img.full").first().waitFor();
    assert.deepEqual(await page.locator(".tile img, .viewer img").evaluateAll((pictures) => pictures.filter(({ draggable }) => draggable).length), 0);
  },

  async "Without a place to remember anything, the page works"(world, visit) {
    await visit.context.addInitScript(() => {
      Object.defineProperty(window, "localStorage", {
        get: () => {
          throw new DOMException("The operation is insecure.", "SecurityError");
        },
      });
    });
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const page = await visit.open(service, "app/");
    await page.getByRole("textbox", { name: "User name" }).fill(owner.id);
    await page.getByRole("button", { name: "Continue" }).click();
    await tileOf(page, images[0]).waitFor();
  },

  async "If the service cannot say who is signed in, the page offers to try again"(world, visit) {
    const service = await world.required();
    const account = await service.createAccount();
    await uploadSmall(service, account, ["Mine"], { visibility: "private" });
    const page = await visit.open(service, "app/");
    await signIn(page, account);
    visit.expect(/503/);
    await visit.context.route("**/app/session/refresh", (route) => route.fulfill({ status: 503 }), { times: 1 });
    await page.reload();
    await page.getByRole("button", { name: "Try again" }).click();
    await showsPictures(page, ["Mine (private)"]);
  },

  async "A picture that arrives while the trash opens is not shown there"(world, visit) {
    const { page } = await openUploads(world, visit);
    const [file] = pictures(1);
    const release = await hold(visit, /\/app\/tiles\/./);
    const tile = page.waitForRequest(/\/app\/tiles\/./);
    await choose(page, [file]);
    await tile;
    await page.locator("summary[aria-label^='Account of']").click();
    await page.getByRole("link", { name: "Trash" }).click();
    await page.getByText("The trash is empty.").waitFor();
    release();
    await areUploaded(page, [file]);
    await page.getByText("The trash is empty.").waitFor();
    await page.goBack();
    await showsPictures(page, [file.name]);
  },

  async "Signing out removes the list of uploads"(world, visit) {
    const service = await world.required();
    const page = await visit.open(service, "app/");
    await signIn(page, await service.createAccount());
    const [file] = pictures(1);
    await choose(page, [file]);
    await areUploaded(page, [file]);
    await signOut(page);
    await panelOf(page).waitFor({ state: "detached" });
  },
};
