// Checks of collections and shares with the keyboard alone. Each starts at the beginning of the page.

import { strict as assert } from "node:assert";

import { hasOrder, openCollection, send } from "./collection_page.mjs";
import { createUser, openGallery, showsPictures, tileOf, until, uploadSmall } from "./gallery_page.mjs";
import { chooseOption, pressOn, typeInto } from "./keyboard.mjs";
import { picture } from "./upload_page.mjs";

const PRIVATE = "Private: only its owner can see it";

function bar(page) {
  return page.getByRole("toolbar", { name: "Selected pictures" });
}

function linkTo(page, name) {
  return page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name });
}

/** Chooses files with the file picker of a collection’s page. */
async function addPicture(page, file) {
  const menu = page.locator("details.menu").filter({ hasText: "Add pictures" });
  // Early, because the browser must be ready before a key opens the file picker.
  const chooser = page.waitForEvent("filechooser");
  await pressOn(menu.locator("summary"));
  await pressOn(menu.locator("input[type=file]"), "Space");
  await (await chooser).setFiles([file]);
}

export const checks = {
  async "The keyboard alone creates a collection, fills it, and changes its order"(world, visit) {
    const service = await world.trusted();
    const user = createUser(service);
    const images = await uploadSmall(service, user, ["1", "2"]);
    const name = user.id.replace("user-", "keys-");
    const page = await openGallery(visit, service, user);
    await pressOn(linkTo(page, "Collections"));
    await pressOn(page.getByRole("button", { name: "New collection" }));
    await typeInto(page.getByRole("dialog").getByLabel("Name"), name);
    await chooseOption(page.getByRole("dialog").getByLabel("Who can see it"), PRIVATE);
    await pressOn(page.getByRole("dialog").getByRole("button", { name: "Create" }));
    await page.getByRole("heading", { name: "No pictures in this collection yet" }).waitFor();
    assert.equal((await send(service, user, "GET", `collections/${name}`)).visibility, "private");
    await pressOn(linkTo(page, "Pictures"));
    await pressOn(tileOf(page, images[1]), "Space");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Space");
    await pressOn(bar(page).getByRole("button", { name: "Add to a collection" }));
    await typeInto(page.getByRole("dialog").getByLabel("Name of the collection"), name);
    visit.expect(/409/); // It tries to create the collection.
    await pressOn(page.getByRole("dialog").getByRole("button", { name: "Add" }));
    await page.getByText(`2 pictures added to ${name}.`).waitFor();
    await pressOn(linkTo(page, "Collections"));
    await pressOn(page.locator(".card"));
    await showsPictures(page, ["1", "2"]);
    await pressOn(tileOf(page, images[1]), "Alt+ArrowLeft");
    await hasOrder({ service, user, name, page }, ["2", "1"]);
    await addPicture(page, picture("added.png", 3));
    await showsPictures(page, ["2", "1", "added.png"]);
  },

  async "The keyboard alone takes pictures out of a collection, publishes its link, and deletes it"(world, visit) {
    await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const context = await openCollection(world, visit, 2);
    const { service, images, name, page } = context;
    await pressOn(tileOf(page, images[0]), "Space");
    await pressOn(bar(page).getByRole("button", { name: "Remove from the collection" }));
    await hasOrder(context, ["2"]);
    await pressOn(page.getByRole("button", { name: "Undo" }));
    await hasOrder(context, ["1", "2"]);
    await pressOn(page.getByRole("button", { name: "Private", exact: true }));
    await page.getByRole("button", { name: "Copy link" }).waitFor({ state: "detached" });
    await pressOn(page.getByRole("button", { name: "Public", exact: true }));
    await pressOn(page.getByRole("button", { name: "Copy link" }));
    await page.getByText("Copied.").waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${service.publicUrl}/c/${name}`);
    await pressOn(page.getByRole("button", { name: "Delete the collection" }));
    await pressOn(page.getByRole("dialog").getByRole("button", { name: "Delete the collection" }));
    await page.getByText("No collections yet").waitFor();
  },

  async "The keyboard alone shares a collection for a week with a password, and takes the link back"(world, visit) {
    await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const { service, user, name, page } = await openCollection(world, visit, 1);
    const shares = async () => (await send(service, user, "GET", `shares?collection=${name}`)).shares;
    const dialog = page.getByRole("dialog", { name: "Share by link" });
    await pressOn(page.getByRole("button", { name: "Share", exact: true }));
    await chooseOption(dialog.getByLabel("Expires"), "After 7 days");
    await typeInto(dialog.getByLabel("Password"), "between us");
    await typeInto(dialog.getByLabel("Pictures from visitors"), "5");
    await pressOn(dialog.getByRole("button", { name: "Create a link" }));
    await dialog.getByText(/^Expires on .+ · with a password · 0 of 5 pictures added by visitors$/).waitFor();
    await pressOn(dialog.getByRole("button", { name: "Copy the link" }));
    await page.getByText("Copied.").waitFor();
    const [share] = await shares();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), share.url);
    await pressOn(dialog.getByRole("button", { name: "Delete the link" }));
    await dialog.getByRole("listitem").waitFor({ state: "detached" });
    assert.deepEqual(await shares(), []);
    await pressOn(dialog.getByRole("button", { name: "Close" }));
    await until(page, "the button has the focus again", () => document.activeElement.textContent === "Share");
  },
};
