// Collections as their owners use them, in the service and on its pages.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";

import { createUser, namesOf, openGallery, showsPictures, uploadSmall } from "./gallery_page.mjs";

/** Sends a request as a user. Returns the JSON of the response; null if it has none. */
export async function send(service, user, method, path, body) {
  const headers = { ...user.headers, ...(body && { "Content-Type": "application/json" }) };
  const response = await fetch(`${service.url}/${path}`, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(response.ok, `${method} ${path}: ${response.status}`);
  return response.status === 204 ? null : response.json();
}

/** Creates a collection with these images, in this order. Returns its name. */
export async function createCollection(service, user, images = [], { name = `trip-${randomUUID()}`, ...fields } = {}) {
  await send(service, user, "POST", "collections", { name, ...fields });
  for (const { image_id: id } of images) await send(service, user, "PUT", `collections/${name}/images/${id}`);
  return name;
}

/** The titles of a collection's pictures, in its order, as the service has it. */
export async function titlesIn(service, user, name) {
  const page = await send(service, user, "GET", `collections/${name}/images?limit=100`);
  return page.images.map(({ title }) => title);
}

/** Opens the page of a new collection with pictures named `1` to `count`. */
export async function openCollection(world, visit, count) {
  const service = await world.trusted();
  const user = createUser(service);
  const images = await uploadSmall(service, user, Array.from({ length: count }, (_, index) => String(index + 1)));
  const name = await createCollection(service, user, images);
  const page = await openGallery(visit, service, user, `app/collections/${name}`);
  await showsPictures(page, images.map(({ title }) => title));
  return { service, user, images, name, page };
}

/** Waits until the page and the service have these pictures in this order. */
export async function hasOrder({ service, user, name, page }, titles) {
  await showsPictures(page, titles);
  const deadline = Date.now() + 30_000;
  let stored = await titlesIn(service, user, name);
  while (JSON.stringify(stored) !== JSON.stringify(titles) && Date.now() < deadline) {
    await page.waitForTimeout(50);
    stored = await titlesIn(service, user, name);
  }
  assert.deepEqual(stored, titles);
  assert.deepEqual(await namesOf(page), titles);
}

/** Chooses files with the file picker of a collection's page. */
export async function addPictures(page, files) {
  const menu = page.locator("details.menu").filter({ has: page.getByText("Add pictures") });
  const chooser = page.waitForEvent("filechooser");
  await menu.locator("summary").click();
  await menu.getByText("Choose pictures").click();
  await (await chooser).setFiles(files);
}
