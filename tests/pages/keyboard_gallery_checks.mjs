// Checks of the gallery, the viewer and the trash with the keyboard alone. Each starts at the beginning of the page.

import { strict as assert } from "node:assert";

import { hasFocus } from "./account_page.mjs";
import { createCollection, send } from "./collection_page.mjs";
import { detailsOf, formOf } from "./edit_page.mjs";
import { createUser, nameOf, openGallery, sharedPictures, showsPictures, tileOf, until, uploadSmall } from "./gallery_page.mjs";
import { chooseOption, pressOn, tabTo, typeInto } from "./keyboard.mjs";
import { openSynthetic } from "./synthetic_tiles.mjs";
import { filePicker, hold, panelOf, picture } from "./upload_page.mjs";
import { showsPicture } from "./viewer_checks.mjs";

const DAY = 86_400_000;

function bar(page) {
  return page.getByRole("toolbar", { name: "Selected pictures" });
}

/** Opens the gallery of a user with pictures named `1` to `count`. Returns them newest first. */
async function openPictures(world, visit, count) {
  const service = await world.trusted();
  const user = createUser(service);
  const images = (await uploadSmall(service, user, Array.from({ length: count }, (_, index) => String(index + 1)))).reverse();
  const page = await openGallery(visit, service, user);
  await showsPictures(page, images.map(nameOf));
  return { service, user, images, page };
}

/** Fills in the filters and applies them. */
async function filter(page, fill) {
  await pressOn(page.locator("summary[aria-label='Filters']"));
  await fill((label) => page.getByLabel(label, { exact: true }));
  await pressOn(page.getByRole("button", { name: "Apply" }));
}

/** Types a date as the browser’s field takes it: month, day and year. */
async function typeDate(field, time) {
  await tabTo(field);
  const [year, month, day] = new Date(time).toISOString().slice(0, 10).split("-");
  await field.page().keyboard.type(month + day + year);
}

export const checks = {
  async "The keyboard alone filters pictures by user, tag, collection and day, and removes the filters"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const visible = images.filter(({ visibility }) => visibility === "public");
    const sunsets = visible.filter(({ tags }) => tags.includes("sunset"));
    const collection = await createCollection(service, owner, [...sunsets.slice(0, 2), visible.find((image) => !sunsets.includes(image))]);
    const page = await openGallery(visit, service, createUser(service));
    const removeFilter = (text) => pressOn(page.getByRole("button", { name: `Remove the filter “${text}”` }));
    await filter(page, (field) => typeInto(field("User"), owner.id));
    await showsPictures(page, visible.map(nameOf));
    await filter(page, (field) => typeInto(field("Tags"), "sunset"));
    await showsPictures(page, sunsets.map(nameOf));
    await filter(page, (field) => typeInto(field("Collection"), collection));
    await showsPictures(page, sunsets.slice(0, 2).map(nameOf));
    await removeFilter("tag: sunset");
    await until(page, "all of the collection are shown", () => document.querySelectorAll(".tile").length === 3);
    await removeFilter(`collection: ${collection}`);
    await filter(page, (field) => typeDate(field("Uploaded until"), Date.parse(images[0].created_at) - 2 * DAY));
    await pressOn(page.getByRole("button", { name: "Clear the filters" }));
    await page.getByText("No pictures yet").waitFor();
    await pressOn(page.getByRole("button", { name: "Everyone’s" }));
    await page.waitForURL(/show=everyone/);
    // Backwards, because all pictures of everyone follow.
    await page.keyboard.press("Shift+Tab");
    await hasFocus(page.getByRole("button", { name: "Yours" }));
    await page.keyboard.press("Enter");
    await page.getByText("No pictures yet").waitFor();
  },

  async "The keyboard alone opens, zooms, links, changes and deletes a picture, and undoes that"(world, visit) {
    await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const { service, user, images, page } = await openPictures(world, visit, 2);
    const [newer, older] = images;
    await pressOn(tileOf(page, newer));
    await showsPicture(page, newer.image_id);
    await pressOn(page.getByRole("button", { name: "Zoom" }));
    await page.locator(".stage.zoomed").waitFor();
    await page.keyboard.press("z");
    await page.locator(".stage.zoomed").waitFor({ state: "detached" });
    await pressOn(page.getByRole("button", { name: "Details" }));
    await pressOn(detailsOf(page).getByRole("button", { name: "Copy the link as URL" }));
    await page.getByText("Copied.").waitFor();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), new RegExp(newer.image_id));
    await pressOn(detailsOf(page).getByRole("button", { name: "Edit" }));
    const form = formOf(page);
    await typeInto(form.title, "After");
    await typeInto(form.description, "Seen from the pier");
    await typeInto(form.tags, "sea, sunset");
    await chooseOption(form.visibility, "Private: only its owner can see it");
    await pressOn(form.save);
    await detailsOf(page).getByRole("heading", { name: "After" }).waitFor();
    const { title, description, tags, visibility } = await send(service, user, "GET", `images/${newer.image_id}`);
    assert.deepEqual([title, description, tags.sort().join(), visibility], ["After", "Seen from the pier", "sea,sunset", "private"]);
    await pressOn(page.getByRole("button", { name: "Delete" }));
    await showsPicture(page, older.image_id);
    await pressOn(page.getByRole("button", { name: "Undo" }));
    await page.getByText("Picture restored.").waitFor();
    await page.keyboard.press("Escape");
    await showsPictures(page, ["After (private)", nameOf(older)]);
  },

  async "The keyboard alone tags, collects, hides and deletes selected pictures, and undoes that"(world, visit) {
    const { service, user, images, page } = await openPictures(world, visit, 3);
    const act = async (name) => {
      await tabTo(tileOf(page, images[0]));
      for (const key of ["Space", "ArrowRight", "Space"]) await page.keyboard.press(key);
      await bar(page).getByText("2 pictures selected").waitFor();
      await pressOn(bar(page).getByRole("button", { name }));
    };
    const isDone = async (text) => {
      await page.getByText(text).waitFor();
      await bar(page).waitFor({ state: "detached" });
    };
    await act("Add tags");
    await typeInto(page.getByRole("dialog").getByLabel("Tags, separated by commas"), "sun");
    await page.keyboard.press("Enter");
    await isDone("Tags added to 2 pictures.");
    const name = user.id.replace("user-", "trip-");
    await act("Add to a collection");
    await typeInto(page.getByRole("dialog").getByLabel("Name of the collection"), name);
    await pressOn(page.getByRole("dialog").getByRole("button", { name: "Add" }));
    await isDone(`2 pictures added to ${name}.`);
    await act("Make private");
    await isDone("Only you can see 2 pictures now.");
    await showsPictures(page, ["3 (private)", "2 (private)", "1"]);
    await act("Make public");
    await isDone("Everyone can see 2 pictures now.");
    await act("Delete");
    await showsPictures(page, ["1"]);
    await pressOn(page.getByRole("button", { name: "Undo" }));
    await showsPictures(page, ["3", "2", "1"]);
    const stored = await send(service, user, "GET", `collections/${name}/images`);
    assert.deepEqual(stored.images.map(({ title, tags }) => [title, tags.join()]), [["2", "sun"], ["3", "sun"]]);
  },

  async "After an action on selected pictures, the keyboard goes on where the selection was"(world, visit) {
    const { images, page } = await openPictures(world, visit, 4);
    const act = async (image, name) => {
      await pressOn(tileOf(page, image), "Space");
      await pressOn(bar(page).getByRole("button", { name }));
      await bar(page).waitFor({ state: "detached" });
    };
    await act(images[1], "Clear the selection");
    await hasFocus(tileOf(page, images[1]));
    await act(images[1], "Make private");
    await hasFocus(page.locator(".tile a").nth(1));
    await act(images[2], "Delete");
    await hasFocus(tileOf(page, images[3]));
    await act(images[3], "Delete");
    await hasFocus(page.locator(".tile a").nth(1));
    // With the mouse, the page does not scroll to the selection.
    await tileOf(page, images[0]).press("Space");
    await bar(page).getByRole("button", { name: "Clear the selection" }).click();
    await bar(page).waitFor({ state: "detached" });
    await until(page, "nothing has the focus", () => document.activeElement === document.body);
  },

  async "The Delete key deletes the picture that has the focus, or else those that are selected"(world, visit) {
    const { images, page } = await openPictures(world, visit, 5);
    const names = images.map(nameOf);
    await tabTo(tileOf(page, images[1]));
    await page.keyboard.press("Delete");
    await showsPictures(page, names.toSpliced(1, 1));
    await hasFocus(tileOf(page, images[2]));
    await pressOn(page.getByRole("button", { name: "Undo" }));
    await showsPictures(page, names);
    for (const image of images.slice(0, 2)) await tileOf(page, image).press("Space");
    await tileOf(page, images[4]).focus();
    await page.keyboard.press("Delete");
    await showsPictures(page, names.slice(2));
    await hasFocus(tileOf(page, images[4]));
    await tileOf(page, images[4]).press("Delete");
    await showsPictures(page, names.slice(2, 4));
    await hasFocus(tileOf(page, images[3]));
    await pressOn(page.locator("summary[aria-label^='Account of']"));
    await pressOn(page.getByRole("link", { name: "Trash" }));
    await until(page, "the trash is shown", () => document.querySelectorAll(".tile").length === 3);
    await tabTo(page.locator(".tile a").first());
    await page.keyboard.press("Delete");
    await pressOn(page.getByRole("dialog").getByRole("button", { name: "Delete permanently" }));
    await page.getByText("1 picture deleted permanently.").waitFor();
    await until(page, "the next picture has the focus", () => document.activeElement.matches(".tile:first-child a"));
  },

  async "The Delete key deletes a picture once, however often it is pressed while that takes time"(world, visit) {
    const { page, gallery, ids } = await openSynthetic(world, visit, 20);
    const held = [];
    await visit.context.route(`**/images/${ids[0]}`, (route) => held.push(route));
    await tabTo(page.locator(".tile a"));
    for (let presses = 0; presses < 3; presses++) await page.keyboard.press("Delete");
    await visit.context.unroute(`**/images/${ids[0]}`);
    assert.equal(held.length, 1);
    await held[0].fallback();
    await page.getByText("1 picture deleted.").waitFor();
    await hasFocus(page.locator(`.tile a[href*="${ids[1]}"]`));
    for (const id of ids.slice(1)) {
      await hasFocus(page.locator(`.tile a[href*="${id}"]`));
      await page.keyboard.press("Delete");
    }
    await page.getByText("No pictures yet").waitFor();
    assert.deepEqual(gallery.deleted, ids);
  },

  async "In a long gallery, Tab reaches what can be done with selected pictures, and the list of uploads"(world, visit) {
    const { page, gallery, ids } = await openSynthetic(world, visit, 900);
    await tabTo(page.locator(".tile a"));
    for (const key of ["Space", "ArrowRight", "Space", "Tab"]) await page.keyboard.press(key);
    await hasFocus(bar(page).getByRole("button", { name: "Clear the selection" }));
    await pressOn(bar(page).getByRole("button", { name: "Delete" }));
    await pressOn(page.getByRole("button", { name: "Undo" }));
    await page.getByText("2 pictures restored.").waitFor();
    assert.deepEqual([gallery.deleted, gallery.restored].map((list) => list.toSorted()), [ids.slice(0, 2).sort(), ids.slice(0, 2).sort()]);
    const file = picture("held.png");
    await hold(visit, "**/images");
    const chooser = page.waitForEvent("filechooser");
    await pressOn(page.locator("summary[aria-label='Upload']"));
    await pressOn(filePicker(page).locator("input"), "Space");
    await (await chooser).setFiles([file]);
    await pressOn(page.getByRole("button", { name: `Cancel ${file.name}` }));
    await panelOf(page).waitFor({ state: "detached" });
  },

  async "The keyboard alone restores a picture from the trash, and deletes another permanently"(world, visit) {
    const { service, user, images, page } = await openPictures(world, visit, 2);
    for (const { image_id: id } of images) await send(service, user, "DELETE", `images/${id}`);
    await pressOn(page.locator("summary[aria-label^='Account of']"));
    await pressOn(page.getByRole("link", { name: "Trash" }));
    await page.getByRole("heading", { name: "Trash" }).waitFor();
    const select = async (count) => {
      await until(page, `${count} pictures are shown`, (count) => document.querySelectorAll(".tile").length === count, count);
      await pressOn(page.locator(".tile a").first(), "Space");
    };
    await select(2);
    await pressOn(bar(page).getByRole("button", { name: "Restore" }));
    await page.getByText("1 picture restored.").waitFor();
    await select(1);
    await pressOn(bar(page).getByRole("button", { name: "Delete permanently" }));
    await pressOn(page.getByRole("dialog").getByRole("button", { name: "Delete permanently" }));
    await page.getByText("1 picture deleted permanently.").waitFor();
    await page.getByText("The trash is empty.").waitFor();
    await pressOn(page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Pictures" }));
    await page.locator(".tile").waitFor();
    assert.equal((await send(service, user, "GET", "trash")).total_count, 0);
  },

  async "A message with Undo stays while it has the focus"(world, visit) {
    const { images, page } = await openPictures(world, visit, 2);
    await page.clock.install();
    await pressOn(tileOf(page, images[0]), "Space");
    await pressOn(bar(page).getByRole("button", { name: "Delete" }));
    const undo = page.getByRole("button", { name: "Undo" });
    await tabTo(undo);
    await page.clock.runFor(60_000);
    await hasFocus(undo);
    await page.keyboard.press("Enter");
    await showsPictures(page, images.map(nameOf));
    await page.getByText("1 picture restored.").waitFor();
    await page.clock.runFor(60_000);
    assert.equal(await page.locator(".toast").count(), 0);
  },
};
