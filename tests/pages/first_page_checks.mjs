// Checks of pages that contain their first pictures: they are painted after two round trips, and nothing is requested twice.

import { strict as assert } from "node:assert";

import { createCollection, send } from "./collection_page.mjs";
import { createUser, nameOf, namesOf, showsPictures, signIn, signOut, uploadSmall } from "./gallery_page.mjs";
import { landscape, upload } from "./pictures.mjs";
import { createShare, requestsOf } from "./share_page.mjs";

/** Wide pictures and large ones, of which there are several sizes to choose from. */
const SIZES = [
  [900, 600],
  [600, 900],
  [800, 800],
  [1000, 300],
];
const SCREENS = [
  { viewport: { width: 1280, height: 800 } },
  { viewport: { width: 360, height: 740 }, deviceScaleFactor: 3 },
];

/** Returns a public collection of large pictures, and their titles in its order. */
async function createLargeCollection(service) {
  const user = createUser(service);
  const titles = SIZES.map((_, index) => `Large ${index + 1}`);
  const images = [];
  for (const [index, [width, height]] of SIZES.entries()) {
    images.push(await upload(service, user, landscape(width, height, index), "large.png", { title: titles[index] }));
  }
  return { user, images, titles, name: await createCollection(service, user, images) };
}

/** Waits until the gallery is loaded, and asserts that it does not show the private picture. */
async function showsNothing(page) {
  await page.waitForFunction(() => !document.querySelector(".progress"));
  assert.ok(!(await namesOf(page)).some((name) => name.startsWith("Rose")));
}

export const checks = {
  async "The first pictures are requested once, together with the scripts"(world) {
    const service = await world.trusted();
    const { user, images, titles, name } = await createLargeCollection(service);
    const share = await createShare(service, user, { collection: name });
    const asUser = { extraHTTPHeaders: { "X-User-Id": user.id } };
    const pages = [
      [share.path, titles, {}],
      [`c/${name}`, titles, {}],
      ["app/", titles.toReversed(), asUser],
    ];
    for (const [path, shown, options] of pages) {
      for (const screen of SCREENS) {
        const visit = await world.visit({ ...screen, ...options });
        const requests = requestsOf(visit);
        const warnings = [];
        visit.context.on("console", (message) => message.type() === "warning" && warnings.push(message.text()));
        const page = await visit.open(service, path);
        await showsPictures(page, shown);
        await page.waitForFunction((count) => document.querySelectorAll(".tile img.loaded").length === count, shown.length);
        const of = (part) => requests.filter((request) => request.includes(part));
        assert.deepEqual(of("/tiles"), [], path);
        for (const { image_id: id } of images) assert.equal(of(`/images/${id}/`).length, 1, `${path}: ${of(id)}`);
        assert.deepEqual(warnings, [], path);
        await visit.context.close();
      }
    }
  },

  async "The gallery of an account has its first pictures when it is opened again"(world, visit) {
    const service = await world.required();
    const user = await createUser(service);
    const [image] = await uploadSmall(service, user, ["Rose"], { visibility: "private" });
    let page = await visit.open(service, "app/");
    const passed = page.waitForResponse(/app\/pass$/);
    await signIn(page, user);
    await passed;
    const requests = requestsOf(visit);
    await page.goto(`${service.publicUrl}/app/`);
    await showsPictures(page, [nameOf(image)]);
    assert.deepEqual(requests.filter((request) => request.includes("/tiles")), []);
    assert.ok(!requests.includes("POST /app/pass"), "the cookie is still there");
    // Requests wait for the access token.
    await page.goto(`${service.publicUrl}/app/images/${image.image_id}`);
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).waitFor();
    await page.goto(`${service.publicUrl}/app/`);
    await signOut(page);
    await showsNothing(page);
    // Neither another visit nor Back shows them again.
    await page.goto(`${service.publicUrl}/app/account`);
    await page.goBack();
    await page.getByRole("banner").getByRole("button", { name: "Sign in" }).waitFor();
    await showsNothing(page);
  },

  async "The first pictures in a page are only those of its address"(world, visit) {
    const service = await world.trusted();
    const { user, images } = await createLargeCollection(service);
    await send(service, user, "PATCH", `images/${images[0].image_id}`, { tags: ["sea"] });
    await visit.context.setExtraHTTPHeaders({ "X-User-Id": user.id });
    const page = await visit.open(service, "app/?tags=sea");
    await showsPictures(page, ["Large 1"]);
    // The list in the document is used once.
    await page.goto(`${service.publicUrl}/app/`);
    await page.getByRole("button", { name: "Everyone’s" }).click();
    await page.waitForURL(/show=everyone/);
    await page.getByRole("button", { name: "Yours" }).click();
    await showsPictures(page, ["Large 4", "Large 3", "Large 2", "Large 1"]);
  },
};
