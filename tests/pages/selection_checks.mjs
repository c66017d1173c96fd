// Checks of changing many pictures together, and of the trash.

import { strict as assert } from "node:assert";

import { assertAccessible } from "./accessibility.mjs";
import { createUser, nameOf, namesOf, openGallery, showsPictures, tileOf, until, uploadSmall } from "./gallery_page.mjs";

/** Opens the gallery of a user with pictures named `1` to `count`. Returns them newest first, as the gallery shows them. */
async function openPictures(world, visit, count, fields = {}) {
  const service = await world.trusted();
  const user = createUser(service);
  const titles = Array.from({ length: count }, (_, index) => String(index + 1));
  const images = (await uploadSmall(service, user, titles, fields)).reverse();
  const page = await openGallery(visit, service, user);
  await showsPictures(page, images.map(nameOf));
  return { service, user, page, images };
}

/** Selects a picture with its box. */
async function select(page, image, options) {
  await page.getByRole("checkbox", { name: `Select ${image.title}`, exact: true }).click(options);
}

async function selectWithKeyboard(page, image) {
  await tileOf(page, image).focus();
  await page.keyboard.press("Space");
}

function bar(page) {
  return page.getByRole("toolbar", { name: "Selected pictures" });
}

async function act(page, name) {
  await bar(page).getByRole("button", { name }).click();
}

function get(service, user, path) {
  return fetch(`${service.url}/${path}`, { headers: user.headers }).then((response) => response.json());
}

async function openTrash(page) {
  await page.locator("summary[aria-label^='Account of']").click();
  await page.getByRole("link", { name: "Trash" }).click();
  await page.getByRole("heading", { name: "Trash" }).waitFor();
}

export const checks = {
  async "Pictures are selected by click, Shift and click, and the space bar"(world, visit) {
    const { page, images } = await openPictures(world, visit, 5);
    assert.equal(await bar(page).count(), 0);
    await select(page, images[1]);
    await bar(page).getByText("1 picture selected").waitFor();
    await tileOf(page, images[3]).click({ modifiers: ["Shift"] });
    await bar(page).getByText("3 pictures selected").waitFor();
    await tileOf(page, images[2]).click();
    await bar(page).getByText("2 pictures selected").waitFor();
    assert.ok(page.url().endsWith("/app/"), "a click selects, and does not open a picture");
    await selectWithKeyboard(page, images[0]);
    await bar(page).getByText("3 pictures selected").waitFor();
    await page.keyboard.press("Escape");
    await bar(page).waitFor({ state: "detached" });
    await tileOf(page, images[0]).click();
    await page.waitForURL(/\/app\/images\//);
  },

  async "Selected pictures get tags, in addition to those that they have"(world, visit) {
    const { service, user, page, images } = await openPictures(world, visit, 3, { tags: "sea" });
    for (const image of images.slice(0, 2)) await selectWithKeyboard(page, image);
    await act(page, "Add tags");
    await page.getByLabel("Tags, separated by commas").last().fill("Sun, sea , sand");
    await page.keyboard.press("Enter");
    await page.getByText("Tags added to 2 pictures.").waitFor();
    const tags = async ({ image_id: id }) => (await get(service, user, `images/${id}`)).tags;
    assert.deepEqual(await Promise.all(images.map(tags)), [["sea", "sun", "sand"], ["sea", "sun", "sand"], ["sea"]]);
    await bar(page).waitFor({ state: "detached" });
  },

  async "What fails for some pictures is said, and done for the others"(world, visit) {
    const { service, user, page, images } = await openPictures(world, visit, 2);
    await fetch(`${service.url}/images/${images[1].image_id}`, {
      method: "PATCH",
      headers: { ...user.headers, "Content-Type": "application/json" },
      body: JSON.stringify({ tags: Array.from({ length: 10 }, (_, number) => `tag ${number}`) }),
    });
    visit.expect(/422/);
    for (const image of images) await selectWithKeyboard(page, image);
    await act(page, "Add tags");
    await page.getByLabel("Tags, separated by commas").last().fill("sun");
    await page.keyboard.press("Enter");
    await page.getByText(/1 picture failed\. .*tags/).waitFor();
    await page.getByText("Tags added to 1 picture.").waitFor();
    assert.deepEqual((await get(service, user, `images/${images[0].image_id}`)).tags, ["sun"]);
  },

  async "Selected pictures are collected, the oldest first"(world, visit) {
    const { service, user, page, images } = await openPictures(world, visit, 3);
    const name = user.id.replace("user-", "summer-");
    const collect = async (chosen) => {
      for (const image of chosen) await selectWithKeyboard(page, image);
      await act(page, "Add to a collection");
      await page.getByLabel("Name of the collection").fill(name);
      await page.keyboard.press("Enter");
      await page.getByText(new RegExp(`${chosen.length} pictures? added to ${name}`)).first().waitFor();
    };
    await collect(images.slice(1));
    visit.expect(/409/);
    await collect(images.slice(0, 1));
    const collection = await get(service, user, `collections/${name}`);
    assert.deepEqual(collection.images.map(({ title }) => title), ["1", "2", "3"]);
  },

  async "Who adds pictures to a new collection decides who can see it"(world, visit) {
    const { service, user, page, images } = await openPictures(world, visit, 1);
    const name = user.id.replace("user-", "hidden-");
    await selectWithKeyboard(page, images[0]);
    await act(page, "Add to a collection");
    const visibility = page.getByRole("dialog").getByLabel("Who can see the new collection");
    await page.getByLabel("Name of the collection").fill(name);
    await visibility.selectOption("private");
    await page.keyboard.press("Enter");
    await page.getByText(`1 picture added to ${name}`).waitFor();
    assert.equal((await get(service, user, `collections/${name}`)).visibility, "private");
    await selectWithKeyboard(page, images[0]);
    await act(page, "Add to a collection");
    await page.locator("datalist option").waitFor({ state: "attached" });
    await page.getByLabel("Name of the collection").fill(name);
    await visibility.waitFor({ state: "detached" });
  },

  async "Selected pictures become private and public, and stay visible to their owner"(world, visit) {
    const { page, images } = await openPictures(world, visit, 2);
    const makeAll = async (name, message) => {
      for (const image of images) await selectWithKeyboard(page, image);
      await act(page, name);
      await page.getByText(message).waitFor();
      const areLoaded = () => [...document.querySelectorAll(".tile img")].every((image) => image.complete && image.naturalWidth > 0);
      await until(page, "the pictures are loaded again", areLoaded);
    };
    await makeAll("Make private", "Only you can see 2 pictures now.");
    assert.deepEqual(await namesOf(page), ["2 (private)", "1 (private)"]);
    await makeAll("Make public", "Everyone can see 2 pictures now.");
    assert.deepEqual(await namesOf(page), ["2", "1"]);
  },

  async "Selected pictures are deleted, and Undo restores all in their places"(world, visit) {
    const { service, user, page, images } = await openPictures(world, visit, 5);
    for (const image of [images[0], images[2], images[4]]) await selectWithKeyboard(page, image);
    await act(page, "Delete");
    await showsPictures(page, ["4", "2"]);
    assert.equal((await get(service, user, "trash")).total_count, 3);
    await page.getByRole("button", { name: "Undo" }).click();
    await showsPictures(page, ["5", "4", "3", "2", "1"]);
    assert.equal((await get(service, user, "trash")).total_count, 0);
  },

  async "Others' pictures can be collected, and not be changed"(world, visit) {
    const { service, images } = await openPictures(world, await world.visit(), 1);
    const page = await openGallery(visit, service, createUser(service), "app/?show=everyone");
    await tileOf(page, images[0]).waitFor();
    await selectWithKeyboard(page, images[0]);
    await bar(page).getByRole("button", { name: "Add to a collection" }).waitFor();
    assert.equal(await bar(page).getByRole("button", { name: "Delete" }).count(), 0);
  },

  async "The trash shows deleted pictures, and restores them"(world, visit) {
    const { service, user, page, images } = await openPictures(world, visit, 3, { visibility: "private" });
    for (const image of images.slice(0, 2)) await selectWithKeyboard(page, image);
    await act(page, "Delete");
    await page.getByText("2 pictures deleted.").waitFor();
    await openTrash(page);
    await page.getByText(/can be restored until they are deleted permanently/).waitFor();
    await until(page, "the pictures are shown", () => document.querySelectorAll(".tile img.loaded").length === 2);
    await page.locator(".tile a").first().click();
    assert.ok(page.url().endsWith("/app/trash"), "pictures in the trash do not open");
    await act(page, "Restore");
    await page.getByText("1 picture restored.").waitFor();
    await until(page, "one is left", () => document.querySelectorAll(".tile").length === 1);
    assert.equal((await get(service, user, "trash")).total_count, 1);
    await page.goBack();
    await until(page, "the gallery has the other", () => document.querySelectorAll(".tile").length === 2);
  },

  async "Pictures are deleted permanently only after a question"(world, visit) {
    const { service, user, page, images } = await openPictures(world, visit, 2);
    for (const image of images) await selectWithKeyboard(page, image);
    await act(page, "Delete");
    await page.getByText("2 pictures deleted.").waitFor();
    await openTrash(page);
    await page.locator(".tile a").first().focus();
    await page.keyboard.press("Space");
    await act(page, "Delete permanently");
    await page.getByRole("dialog").getByText("Delete 1 picture permanently?").waitFor();
    await assertAccessible(world, page);
    await page.keyboard.press("Escape");
    assert.equal((await get(service, user, "trash")).total_count, 2);
    await act(page, "Delete permanently");
    await page.getByRole("dialog").getByRole("button", { name: "Delete permanently" }).click();
    await page.getByText("1 picture deleted permanently.").waitFor();
    assert.equal((await get(service, user, "trash")).total_count, 1);
    await page.reload();
    await until(page, "the other is left", () => document.querySelectorAll(".tile").length === 1);
  },
};
