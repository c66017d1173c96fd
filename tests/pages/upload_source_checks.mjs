// Checks of where uploads come from: files that are dropped or pasted, and who uploads them.

import { strict as assert } from "node:assert";

import { createUser, fillSignIn, openGallery, showsPictures, tileOf, until } from "./gallery_page.mjs";
import {
  UploadLog,
  areUploaded,
  assertStored,
  choose,
  dispatch,
  openMenu,
  openUploads,
  panelOf,
  picture,
  pictures,
  rowOf,
  summaryIs,
} from "./upload_page.mjs";
import { showsPicture } from "./viewer_checks.mjs";

export const checks = {
  async "A sign appears while files are dragged over the page, and dropping queues them once"(world, visit) {
    const { service, user, page } = await openUploads(world, visit);
    const [one, two] = pictures(2);
    const sign = page.getByText("Drop the pictures to upload them");
    await dispatch(page, "dragover", [], { text: "a link" });
    assert.equal(await sign.count(), 0, "text can be dragged without a sign");
    assert.ok(await dispatch(page, "dragover", [one]), "the page takes files");
    await sign.waitFor();
    // Nothing says that the pointer has left the page, except that no more events come.
    await sign.waitFor({ state: "detached" });
    assert.equal(await panelOf(page).count(), 0, "nothing is queued");
    await dispatch(page, "dragover", [one, two], { target: "header" });
    await sign.waitFor();
    await dispatch(page, "drop", [one, two], { target: "header" });
    await sign.waitFor({ state: "detached" });
    await areUploaded(page, [one, two]);
    await summaryIs(page, "2 of 2 uploaded");
    await assertStored(service, user, [one, two]);
  },

  async "A picture is pasted from the clipboard"(world, visit) {
    const { service, user, page } = await openUploads(world, visit);
    const file = picture("image.png");
    assert.ok(await dispatch(page, "paste", [file]), "the page takes the picture");
    await areUploaded(page, [file]);
    await assertStored(service, user, [file]);
    await showsPictures(page, [file.name]);
  },

  async "Text is pasted into fields, also if the clipboard has a picture of it"(world, visit) {
    await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const { page } = await openUploads(world, visit);
    await page.evaluate(() => navigator.clipboard.writeText("sea, sunset"));
    await openMenu(page);
    const tags = page.getByLabel("Tags, separated by commas");
    await tags.focus();
    await page.keyboard.press("Control+v");
    assert.equal(await tags.inputValue(), "sea, sunset");
    // Spreadsheets and word processors copy both.
    const isTaken = await dispatch(page, "paste", [picture("image.png")], { target: "details[open] input:not([type])", text: "sea" });
    assert.ok(!isTaken, "the page prevents that text is pasted into a field, because the clipboard has a picture, too");
    assert.equal(await panelOf(page).count(), 0, "nothing is uploaded");
  },

  async "A preview that is dragged from the list of uploads is not uploaded again"(world, visit) {
    const { service, user, page } = await openUploads(world, visit);
    const file = picture("one.png");
    await choose(page, [file]);
    await areUploaded(page, [file]);
    await rowOf(page, file).locator("img").hover();
    await page.mouse.down();
    await page.mouse.move(300, 300, { steps: 5 });
    await page.mouse.move(320, 320, { steps: 5 });
    const isShown = await page.getByText("Drop the pictures to upload them").isVisible();
    await page.mouse.up();
    await summaryIs(page, "1 of 1 uploaded");
    await assertStored(service, user, [file]);
    assert.ok(!isShown, "the page offers to upload the preview");
  },

  async "Visitors who drop a file are asked for their user name, and then it is sent"(world, visit) {
    const service = await world.trusted();
    const user = createUser(service);
    const page = await openGallery(visit, service, null);
    const log = new UploadLog(visit);
    const dialog = page.getByRole("dialog", { name: "Who are you?" });
    const [unsent, sent] = pictures(2);
    await dispatch(page, "drop", [unsent]);
    await dialog.getByRole("button", { name: "Only look" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal(await panelOf(page).count(), 0, "nothing is sent for visitors who only look");
    await dispatch(page, "drop", [sent]);
    await dialog.getByLabel("User name").fill(user.id);
    await dialog.getByLabel("User name").press("Enter");
    await areUploaded(page, [sent]);
    assert.equal(log.forms.length, 1);
    await assertStored(service, user, [sent]);
    await showsPictures(page, [sent.name]);
  },

  async "Visitors who drop a file are asked to sign in, and then it is sent"(world, visit) {
    const service = await world.required();
    const account = await createUser(service);
    const page = await openGallery(visit, service, null);
    const file = picture("one.png");
    await dispatch(page, "drop", [file]);
    await fillSignIn(page, account);
    await areUploaded(page, [file]);
    await assertStored(service, account, [file]);
    await showsPictures(page, [file.name]);
  },

  async "A picture that is dropped on the viewer does not change what the viewer's keys are about"(world, visit) {
    const { service, user, page } = await openUploads(world, visit);
    const [kept, deleted, dropped] = pictures(3);
    for (const file of [kept, deleted]) {
      await choose(page, [file]);
      await areUploaded(page, [file]);
    }
    const [, { image_id: id }] = await assertStored(service, user, [kept, deleted]);
    await tileOf(page, { image_id: id }).click();
    await showsPicture(page, id);
    await dispatch(page, "drop", [dropped], { target: ".viewer" });
    await page.locator(".tile").nth(2).waitFor({ state: "attached" });
    await showsPicture(page, id);
    await page.keyboard.press("i");
    await page.locator(".viewer .details").getByRole("heading").waitFor();
    const heading = await page.locator(".viewer .details").getByRole("heading").innerText();
    await page.keyboard.press("Delete");
    await page.getByText("Picture deleted.").waitFor();
    await assertStored(service, user, [kept, dropped]);
    assert.equal(heading, deleted.name, "the details");
  },

  async "A new picture does not appear in a gallery that is filtered"(world, visit) {
    const { page } = await openUploads(world, visit, "app/?tags=sea");
    const file = picture("one.png");
    await page.getByText("No picture matches these filters.").waitFor();
    await choose(page, [file]);
    await areUploaded(page, [file]);
    await page.getByRole("button", { name: "Clear the filters" }).click();
    await showsPictures(page, [file.name]);
    await until(page, "the total is right", () => document.querySelector(".summary [role=status]").textContent === "1 picture");
  },
};
