// Checks of what the pages for visitors list: long and empty collections, one picture, and public collections.

import { strict as assert } from "node:assert";

import { createCollection, send } from "./collection_page.mjs";
import { createUser, namesOf, showsPictures, uploadManySmall, uploadSmall } from "./gallery_page.mjs";
import { WAYS } from "./keyboard.mjs";
import { createShare, isClosed, openShared, shareCollection, sharedTile, showsInViewer } from "./share_page.mjs";

/** More than one page of the list. */
const MANY = 103;

/** Opens the page of a share that is deleted before more pictures than the first hundred are loaded. */
async function assertEndsWhileScrolling(page, service, user, share) {
  await page.route(/page_token/, async (route) => {
    await send(service, user, "DELETE", `shares/${share.id}`).catch(() => null);
    await route.continue();
  });
  await page.goto(`${service.publicUrl}/${share.path}`);
  await page.locator(".tile a").first().focus();
  await page.keyboard.press("End");
  const alert = page.getByRole("alert").filter({ hasText: "More pictures could not be loaded." });
  await alert.waitFor();
  assert.match(await alert.innerText(), /share|link/);
  await alert.getByRole("button", { name: "Try again" }).waitFor();
}

export const checks = {
  async "More than a hundred pictures are loaded while scrolling"(world, visit) {
    const service = await world.trusted();
    const user = createUser(service);
    const images = await uploadManySmall(service, user, Array.from({ length: MANY }, (_, index) => `${index + 1}`));
    const name = await createCollection(service, user, images, { visibility: "private" });
    const share = await createShare(service, user, { collection: name });
    visit.expect(/404/);
    const page = await visit.open(service, share.path);
    await page.getByRole("status").getByText(`${MANY} pictures`).waitFor();
    await page.locator(".tile a").first().focus();
    for (const scroll of [() => page.keyboard.press("End"), () => page.mouse.wheel(0, 20_000)]) {
      await scroll();
      await sharedTile(page, images.at(-1)).or(page.locator(`[data-index="${MANY - 4}"]`)).first().waitFor();
    }
    await sharedTile(page, images.at(-1)).click();
    await showsInViewer(page, images.at(-1));
    await page.getByRole("status").getByText(`${MANY} / ${MANY}`).waitFor();
    // A link to a picture that is not on the first page.
    const linked = await visit.open(service, `${share.path}?image=${images.at(-1).image_id}`);
    await showsInViewer(linked, images.at(-1));
    await assertEndsWhileScrolling(await visit.context.newPage(), service, user, share);
  },

  async "The share of one picture opens it, and shows its title below"(world, visit) {
    const service = await world.trusted();
    const user = createUser(service);
    const [image] = await uploadSmall(service, user, ["Dusk"], { visibility: "private" });
    const share = await createShare(service, user, { image_id: image.image_id });
    const page = await visit.open(service, share.path);
    await showsInViewer(page, image);
    assert.equal(await page.getByRole("button", { name: /^(Previous|Next) picture$/ }).count(), 0);
    await page.keyboard.press("Escape");
    await showsPictures(page, ["Dusk"]);
    await page.getByRole("heading", { name: "Dusk", level: 1 }).waitFor();
    await sharedTile(page, image).click();
    await showsInViewer(page, image);
  },

  async "A collection without pictures says so"(world, visit) {
    const { page } = await openShared(world, visit, []);
    await page.getByText("There are no pictures here yet.").waitFor();
    assert.equal(await page.getByText("Add pictures").count(), 0);
    assert.deepEqual(await namesOf(page), []);
  },

  async "The page of a public collection shows its public pictures, and programs get JSON"(world) {
    for (const service of [await world.trusted(), await world.prefixed()]) {
      const visit = await world.visit();
      const { user, images, name } = await shareCollection(service, ["Private"]);
      const open = await uploadSmall(service, user, ["1", "2"]);
      for (const { image_id: id } of open) await send(service, user, "PUT", `collections/${name}/images/${id}`);
      await send(service, user, "PATCH", `collections/${name}`, { visibility: "public" });
      const page = await visit.open(service, `c/${name}`);
      await showsPictures(page, ["1", "2"]);
      await page.getByRole("status").getByText("2 pictures").waitFor();
      for (const activate of WAYS) {
        await activate(sharedTile(page, open[0]));
        await showsInViewer(page, open[0]);
        await page.keyboard.press("ArrowRight");
        await showsInViewer(page, open[1]);
        await page.keyboard.press("Escape");
        await isClosed(page, open[1]);
      }
      const answer = await page.evaluate(async () => {
        const response = await fetch(location.pathname);
        return { type: response.headers.get("content-type"), vary: response.headers.get("vary"), body: await response.json() };
      });
      assert.match(answer.type, /^application\/json/);
      assert.match(answer.vary, /accept\b/i);
      assert.equal(answer.body.images.length, 2);
      await visit.open(service, `c/${name}?image=${open[1].image_id}`).then((linked) => showsInViewer(linked, open[1]));
      assert.ok(!(await page.content()).includes(images[0].image_id), "private pictures are not mentioned");
    }
  },
};
