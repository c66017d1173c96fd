// Shares: how owners create them in the service, and how visitors open their pages.

import { strict as assert } from "node:assert";

import { createCollection, send } from "./collection_page.mjs";
import { createUser, until, uploadSmall } from "./gallery_page.mjs";

/** Creates a share. Returns it with its `path`, which has no leading slash. */
export async function createShare(service, user, fields) {
  const share = await send(service, user, "POST", "shares", fields);
  return { ...share, path: pathOf(share.url) };
}

/** The path of a link to a share. */
export function pathOf(url) {
  return `s/${url.split("/").at(-1)}`;
}

/** Creates a private collection with private pictures of these titles, and a share of it. */
export async function shareCollection(service, titles, fields = {}) {
  const user = await createUser(service);
  const images = await uploadSmall(service, user, titles, { visibility: "private" });
  const name = await createCollection(service, user, images, { visibility: "private" });
  return { service, user, images, name, share: await createShare(service, user, { collection: name, ...fields }) };
}

/** Opens the page of a new share of a collection, as a visitor. */
export async function openShared(world, visit, titles, fields) {
  const shared = await shareCollection(await world.trusted(), titles, fields);
  return { ...shared, page: await visit.open(shared.service, shared.share.path) };
}

/** Opens a page of a share that has a password, has expired or is unknown. The browser reports the status of the page as an error. */
export async function openRefused(visit, service, path, status) {
  expectRefusal(visit, path, status);
  return visit.open(service, path, { status });
}

/** Declares that the page of a share is not shown: the browser reports this as an error of the document. */
export function expectRefusal(visit, path, status) {
  visit.expect(new RegExp(`^console: Failed to load resource: the server responded with a status of ${status} .*/${path}:0\\)$`));
}

/** The paths of all requests of a visit from now on, without those for what the page itself has made. */
export function requestsOf(visit) {
  const requests = [];
  visit.context.on("request", (request) => {
    const { protocol, pathname } = new URL(request.url());
    if (protocol === "http:") requests.push(`${request.method()} ${pathname}`);
  });
  return requests;
}

/** Asserts that a visit has requested nothing but what is below `/s/`. */
export function assertBelowShares(service, requests) {
  const root = `${new URL(service.publicUrl).pathname.replace(/\/$/, "")}/s/`;
  const others = requests.filter((request) => !request.split(" ")[1].startsWith(root));
  assert.deepEqual(others, []);
  assert.ok(requests.length > 0, "requests were recorded");
}

/** How many pictures visitors have added to a share. */
export async function addedTo(service, user, { id }) {
  return (await send(service, user, "GET", `shares/${id}`)).guest_images;
}

/** The file names of a collection's pictures, in its order. */
export async function filesIn(service, user, name) {
  const { images } = await send(service, user, "GET", `collections/${name}/images?limit=100`);
  return images.map(({ file_name: file }) => file);
}

/** Waits until a function returns true. */
export async function eventually(what, isTrue) {
  const deadline = Date.now() + 30_000;
  while (!(await isTrue())) assert.ok(Date.now() < deadline, what);
}

/** Waits until a page for visitors shows the picture with this id in the viewer, and its URL names it. */
export async function showsInViewer(page, { image_id: id }) {
  const isShown = (id) => {
    const sources = [...document.querySelectorAll(".slide[aria-hidden=false] img")].map(({ src }) => src);
    const isIts = sources.length > 0 && sources.every((src) => src.includes(`/images/${id}`));
    return isIts && new URLSearchParams(location.search).get("image") === id;
  };
  await until(page, `picture ${id} is shown`, isShown, id);
}

/** The link to a picture on a page for visitors. */
export function sharedTile(page, { image_id: id }) {
  return page.locator(`.tile a[href$="?image=${id}"]`);
}

/** Waits until a page for visitors shows only its pictures, and this one has the focus. */
export async function isClosed(page, image) {
  await page.locator(".viewer").waitFor({ state: "detached" });
  await until(page, "the URL names no picture", () => location.search === "");
  await until(page, "the picture has the focus", (id) => document.activeElement.href?.endsWith(`?image=${id}`), image.image_id);
}
