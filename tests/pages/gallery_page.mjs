// The gallery as its visitors use it, and pictures that its checks share.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";

import { landscape, upload, withCamera } from "./pictures.mjs";

// In the proportions of photos, and small, because a debug build needs a second for each megapixel.
const SIZES = [
  [240, 160],
  [160, 240],
  [200, 200],
  [320, 180],
  [450, 150],
  [90, 270],
];
export const CAMERA = "Instamatic 100";
/** A title that would be an element if it were not escaped. */
export const MARKUP = "<b>Landscape</b> 2";

const shared = new Map();

/**
 * Returns `{ owner, images }`: nine pictures, newest first, of an owner that no other check uses. Checks must not change them.
 * All have the tag `sea`, and every second one `sunset`. The last is private, and the one before has the name of a camera.
 */
export function sharedPictures(service) {
  if (!shared.has(service)) shared.set(service, uploadShared(service));
  return shared.get(service);
}

async function uploadShared(service) {
  const owner = await createUser(service);
  const add = (number) => {
    const title = number === 2 ? MARKUP : `Landscape ${number}`;
    const fields = { title, tags: number % 2 ? "sea" : "sea,sunset", visibility: number === 1 ? "private" : "public" };
    const file = landscape(...SIZES[number % SIZES.length], number);
    return upload(service, owner, number === 2 ? withCamera(file, CAMERA) : file, `landscape-${number}.png`, fields);
  };
  // The first two are the last of the gallery; the others can have any order.
  const first = [await add(1), await add(2)];
  const images = [...first, ...(await Promise.all([3, 4, 5, 6, 7, 8, 9].map(add)))];
  return { owner, images: images.sort((one, other) => (one.image_id < other.image_id ? 1 : -1)) };
}

/** Returns a user without pictures. */
export function createUser(service) {
  if (service.administrator) return service.createAccount();
  const id = `user-${randomUUID()}`;
  return { id, headers: { "X-User-Id": id } };
}

/** Uploads small pictures with these titles for a user, one after the other. Returns the images. */
export async function uploadSmall(service, user, titles, fields = {}) {
  const images = [];
  for (const title of titles) {
    images.push(await upload(service, user, landscape(200, 150, images.length), "small.png", { ...(title && { title }), ...fields }));
  }
  return images;
}

/** Uploads many small pictures with these titles, three at a time: a busy service refuses more. Returns them in the order of the titles. */
export async function uploadManySmall(service, user, titles, fields = {}) {
  const size = Math.ceil(titles.length / 3);
  const parts = [0, 1, 2].map((part) => titles.slice(part * size, (part + 1) * size));
  return (await Promise.all(parts.map((part) => uploadSmall(service, user, part, fields)))).flat();
}

/** Returns `{ owner, images }`: a public and a private picture, which are the newest of everyone’s, newest first. */
export async function newestPictures(service) {
  const owner = await createUser(service);
  const [hidden] = await uploadSmall(service, owner, ["Private"], { visibility: "private" });
  const [visible] = await uploadSmall(service, owner, ["Public"]);
  return { owner, images: [visible, hidden] };
}

/** Opens the gallery as a user that the page remembers; null only looks. */
export async function openGallery(visit, service, user, path = "app/") {
  await visit.context.addInitScript((name) => {
    if (location.protocol !== "http:" || localStorage.getItem("user-name-asked")) return;
    localStorage.setItem("user-name-asked", "yes");
    if (name) localStorage.setItem("user-name", name);
  }, user?.id);
  const page = await visit.open(service, path);
  await page.getByRole("main").waitFor();
  return page;
}

/** Waits until a function that runs in the page returns true. */
export async function until(page, what, isTrue, argument) {
  await page.waitForFunction(isTrue, argument).catch((error) => {
    throw new Error(`${what}: ${error.message.split("\n")[0]}`);
  });
}

/** Waits until the gallery shows exactly the pictures with these names, in this order. */
export async function showsPictures(page, names) {
  const isShown = (names) => {
    const shown = [...document.querySelectorAll(".tile a")].map((link) => link.querySelector("img")?.alt);
    return JSON.stringify(shown) === JSON.stringify(names);
  };
  await until(page, "the pictures are shown", isShown, names).catch(async (error) => {
    assert.deepEqual(await namesOf(page), names, error.message);
  });
}

/** The names of the pictures in the document. */
export function namesOf(page) {
  return page.locator(".tile img").evaluateAll((images) => images.map(({ alt }) => alt));
}

/** The name of a picture in the gallery. */
export function nameOf({ title, visibility }) {
  return visibility === "private" ? `${title} (private)` : title;
}

/** The link of a picture in the gallery. */
export function tileOf(page, { image_id: id }) {
  return page.locator(`.tile a[href*="${id}"]`);
}

/** Signs in to an account with the dialog, which is open. */
export async function fillSignIn(page, { email, password }) {
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
}

export async function signIn(page, account) {
  await page.getByRole("banner").getByRole("button", { name: "Sign in" }).click();
  await fillSignIn(page, account);
  await page.getByRole("button", { name: "Yours" }).waitFor();
}

export async function signOut(page) {
  await page.locator("summary[aria-label^='Account of']").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("banner").getByRole("button", { name: "Sign in" }).waitFor();
}
