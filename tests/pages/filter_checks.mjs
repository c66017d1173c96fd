// Checks of the filters of the gallery.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";

import { createUser, nameOf, namesOf, newestPictures, openGallery, sharedPictures, showsPictures, tileOf, uploadSmall } from "./gallery_page.mjs";

const SUGGESTIONS = ({ pathname }) => pathname.endsWith("/collections");

/** Fills in the filters and applies them. */
async function filter(page, values) {
  const suggestions = page.waitForResponse((response) => SUGGESTIONS(new URL(response.url())));
  await page.locator("summary[aria-label='Filters']").click();
  await (await suggestions).finished();
  for (const [label, value] of Object.entries(values)) await page.getByLabel(label, { exact: true }).fill(value);
  await page.getByRole("button", { name: "Apply" }).click();
}

function chip(page, text) {
  return page.getByRole("button", { name: `Remove the filter “${text}”` });
}

/** Creates a public collection of images. Returns its name. */
async function createCollection(service, owner, images) {
  const name = `collection-${randomUUID()}`;
  const send = async (method, path, body) => {
    const headers = { ...owner.headers, ...(body && { "Content-Type": "application/json" }) };
    const response = await fetch(`${service.url}/collections${path}`, { method, headers, body: body && JSON.stringify(body) });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
  };
  await send("POST", "", { name });
  for (const { image_id: id } of images) await send("PUT", `/${name}/images/${id}`);
  return name;
}

/** Returns a date as the fields for dates take it. */
function dayOf(milliseconds) {
  return new Date(milliseconds).toISOString().slice(0, 10);
}

export const checks = {
  async "Pictures can be filtered by tags, and chips remove the filters"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const page = await openGallery(visit, service, owner);
    const sunsets = images.filter(({ tags }) => tags.includes("sunset"));
    await filter(page, { Tags: "sunset" });
    await showsPictures(page, sunsets.map(nameOf));
    assert.equal(new URL(page.url()).searchParams.get("tags"), "sunset");
    await chip(page, "tag: sunset").click();
    await showsPictures(page, images.map(nameOf));
    await filter(page, { Tags: "sea, sunset" });
    await showsPictures(page, sunsets.map(nameOf));
    assert.ok(!(await page.getByRole("button", { name: "Apply" }).isVisible()), "the form closes");
    await filter(page, { Tags: "sea,somewhere" });
    await page.getByText("No picture matches these filters.").waitFor();
    await page.getByRole("button", { name: "Clear the filters" }).click();
    await showsPictures(page, images.map(nameOf));
    assert.equal(await page.getByRole("list", { name: "Filters" }).count(), 0, "no chip is left");
  },

  async "Pictures can be filtered by collection, user and date"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const visible = images.filter(({ visibility }) => visibility === "public");
    const collected = [visible[1], visible[3]];
    const collection = await createCollection(service, owner, collected);
    const user = createUser(service);
    const own = (await uploadSmall(service, user, ["Of a visitor"])).map(nameOf);
    const page = await openGallery(visit, service, user);
    await showsPictures(page, own);
    await filter(page, { User: owner.id });
    await showsPictures(page, visible.map(nameOf));
    await filter(page, { Collection: collection });
    await showsPictures(page, collected.map(nameOf));
    await chip(page, `user: ${owner.id}`).click();
    await page.getByText("No picture matches these filters.").waitFor();
    await page.getByRole("button", { name: "Everyone’s" }).click();
    await showsPictures(page, collected.map(nameOf));
    await chip(page, `collection: ${collection}`).click();
    await page.getByRole("button", { name: "Yours" }).click();
    const created = Date.parse(images[0].created_at);
    const [before, day] = [dayOf(created - 86_400_000), dayOf(created)];
    await filter(page, { "Uploaded until": before });
    await page.getByText("No picture matches these filters.").waitFor();
    await filter(page, { "Uploaded until": dayOf(created + 86_400_000), "Uploaded from": day });
    await showsPictures(page, own);
    assert.equal(await page.getByRole("list", { name: "Filters" }).getByRole("button").count(), 2);
  },

  async "Suggestions of collections arrive without changing what has been typed"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const collection = await createCollection(service, owner, images.slice(0, 1));
    const page = await openGallery(visit, service, owner);
    let arrive;
    const gate = new Promise((resolve) => { arrive = resolve; });
    await page.route(SUGGESTIONS, async (route) => {
      await gate;
      await route.continue();
    });
    await page.locator("summary[aria-label='Filters']").click();
    await page.getByLabel("Tags", { exact: true }).fill("sunset");
    arrive();
    await page.locator(`datalist option[value='${collection}']`).waitFor({ state: "attached" });
    assert.equal(await page.getByLabel("Tags", { exact: true }).inputValue(), "sunset");
  },

  async "Yours and everyone’s pictures are two choices, of which the gallery remembers one in its address"(world, visit) {
    const service = await world.trusted();
    const { images } = await newestPictures(service);
    const user = createUser(service);
    const own = await uploadSmall(service, user, ["Private of a visitor"], { visibility: "private" });
    const page = await openGallery(visit, service, user);
    const isPressed = (name) => page.getByRole("button", { name }).getAttribute("aria-pressed");
    await showsPictures(page, own.map(nameOf));
    assert.deepEqual([await isPressed("Yours"), await isPressed("Everyone’s")], ["true", "false"]);
    await page.getByRole("button", { name: "Everyone’s" }).click();
    for (const reloads of [false, true]) {
      if (reloads) await page.reload();
      await tileOf(page, images[0]).waitFor();
      assert.equal(await isPressed("Everyone’s"), "true");
      const names = await namesOf(page);
      assert.ok(names.includes(nameOf(own[0])), "one’s own private pictures are among everyone’s");
      assert.ok(!names.includes(nameOf(images[1])), "private pictures of others are not");
    }
    await page.goBack();
    await showsPictures(page, own.map(nameOf));
  },

  async "Filters survive a reload and Back"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const sunsets = images.filter(({ tags }) => tags.includes("sunset"));
    const page = await openGallery(visit, service, owner, "app/?tags=sunset");
    await showsPictures(page, sunsets.map(nameOf));
    await page.reload();
    await showsPictures(page, sunsets.map(nameOf));
    await filter(page, { Tags: "" });
    await showsPictures(page, images.map(nameOf));
    await page.goBack();
    await showsPictures(page, sunsets.map(nameOf));
    await chip(page, "tag: sunset").waitFor();
    await page.locator("summary[aria-label='Filters']").click();
    assert.equal(await page.getByLabel("Tags", { exact: true }).inputValue(), "sunset");
    await page.goForward();
    await showsPictures(page, images.map(nameOf));
  },
};
