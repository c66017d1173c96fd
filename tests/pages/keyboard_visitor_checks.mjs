// Checks of what visitors of a share do with the keyboard alone.

import { strict as assert } from "node:assert";

import { showsPictures, until } from "./gallery_page.mjs";
import { pressOn } from "./keyboard.mjs";
import { addedTo, isClosed, openRefused, shareCollection, sharedTile, showsInViewer } from "./share_page.mjs";
import { areUploaded, panelOf, picture, textFile } from "./upload_page.mjs";

const PASSWORD = "between us";

export const checks = {
  async "The keyboard alone enters the password of a share, and opens and downloads its pictures"(world, visit) {
    const { service, images, share } = await shareCollection(await world.trusted(), ["1", "2"], { password: PASSWORD });
    const page = await openRefused(visit, service, share.path, 403);
    await until(page, "the field has the focus", () => document.activeElement.id === "password");
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press("Enter");
    await showsPictures(page, ["1", "2"]);
    await pressOn(sharedTile(page, images[0]));
    await showsInViewer(page, images[0]);
    await page.keyboard.press("ArrowRight");
    await showsInViewer(page, images[1]);
    await pressOn(page.getByRole("button", { name: "Details" }));
    const download = page.waitForEvent("download");
    await pressOn(page.getByRole("link", { name: "Download" }));
    assert.equal((await download).suggestedFilename(), "small.png");
    await page.keyboard.press("Escape");
    await isClosed(page, images[1]);
  },

  async "The keyboard alone adds a picture to a share, and closes the list of uploads"(world, visit) {
    const { service, user, share } = await shareCollection(await world.trusted(), ["1"], { max_guest_images: 2 });
    const page = await visit.open(service, share.path);
    const file = picture("added.png");
    // Early, because the browser must be ready before a key opens the file picker.
    const chooser = page.waitForEvent("filechooser");
    await pressOn(page.locator("input[type=file]"), "Space");
    await (await chooser).setFiles([textFile("notes.jpg"), file]);
    await areUploaded(page, [file]);
    await showsPictures(page, ["1", file.name]);
    assert.equal(await addedTo(service, user, share), 1);
    await pressOn(page.getByRole("button", { name: "Remove notes.jpg from the list" }));
    await pressOn(page.getByRole("button", { name: "Close the list of uploads" }));
    await panelOf(page).waitFor({ state: "detached" });
  },
};
