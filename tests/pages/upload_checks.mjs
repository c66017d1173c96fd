// Checks of uploads: many files, their options, and the list of them.

import { strict as assert } from "node:assert";

import { assertAccessible } from "./accessibility.mjs";
import { createUser, namesOf, showsPictures, tileOf } from "./gallery_page.mjs";
import { chooseOption, pressOn, tabTo, typeInto } from "./keyboard.mjs";
import {
  areUploaded,
  assertStored,
  choose,
  filePicker,
  hold,
  imagesOf,
  openMenu,
  openUploads,
  panelOf,
  picture,
  pictures,
  rowOf,
  summaryIs,
  textFile,
} from "./upload_page.mjs";

const FORMS = "**/images";
/** Requests for the tile of one picture. */
const TILES = /\/app\/tiles\/./;
const MIB = 2 ** 20;

export const checks = {
  async "An empty gallery offers to choose pictures"(world, visit) {
    const { service, user, page } = await openUploads(world, visit);
    const [first, second] = pictures(2);
    const chooser = page.waitForEvent("filechooser");
    await page.getByRole("main").getByText("Choose pictures").click();
    await (await chooser).setFiles([first, second]);
    await areUploaded(page, [first, second]);
    await assertStored(service, user, [first, second]);
    await page.locator(".tile").nth(1).waitFor();
    assert.equal(await page.getByRole("main").getByText("Choose pictures").count(), 0);
  },

  async "The list shows files that failed first, and those that are done last"(world, visit) {
    const { page } = await openUploads(world, visit);
    const [done, held, failed] = [...pictures(2), textFile("notes.jpg")];
    await choose(page, [done]);
    await areUploaded(page, [done]);
    await hold(visit, FORMS);
    await choose(page, [held, failed]);
    await rowOf(page, failed).locator(".error").waitFor();
    await rowOf(page, held).getByRole("progressbar").waitFor();
    assert.deepEqual(await panelOf(page).locator(".file-name").allInnerTexts(), [failed, held, done].map(({ name }) => name));
  },

  async "The list says how many files are uploaded, and closes when all are"(world, visit) {
    const { page, log } = await openUploads(world, visit);
    const [first, second, third] = pictures(3);
    await choose(page, [first]);
    await areUploaded(page, [first]);
    const release = await hold(visit, FORMS);
    await choose(page, [second, third]);
    await rowOf(page, third).getByRole("progressbar", { name: `Progress of ${third.name}` }).waitFor();
    await summaryIs(page, "1 of 3 uploaded");
    const close = page.getByRole("button", { name: "Close the list of uploads" });
    assert.equal(await close.count(), 0, "the list stays while files are sent");
    release();
    await summaryIs(page, "3 of 3 uploaded");
    await page.getByRole("button", { name: `Remove ${first.name} from the list` }).click();
    await summaryIs(page, "2 of 2 uploaded");
    await close.click();
    await panelOf(page).waitFor({ state: "detached" });
    assert.equal(log.of("GET", /\/limits$/).length, 1, "the limits are requested once");
  },

  async "Visibility and tags apply to the next files, and the visibility is remembered"(world, visit) {
    const { service, user, page } = await openUploads(world, visit);
    const [hidden, visible, later] = pictures(3);
    const visibility = page.getByLabel("Who can see them");
    const tags = page.getByLabel("Tags, separated by commas");
    const options = async (values) => {
      await openMenu(page);
      await visibility.selectOption(values.visibility);
      await tags.fill(values.tags);
      await openMenu(page);
    };
    await options({ visibility: "private", tags: "sea, deep blue" });
    await choose(page, [hidden]);
    await areUploaded(page, [hidden]);
    await showsPictures(page, [`${hidden.name} (private)`]);
    await options({ visibility: "public", tags: "" });
    await choose(page, [visible]);
    await areUploaded(page, [visible]);
    await options({ visibility: "private", tags: "gone" });
    await page.reload();
    await choose(page, [later]);
    await areUploaded(page, [later]);
    assert.equal(await visibility.inputValue(), "private");
    const images = await assertStored(service, user, [hidden, visible, later]);
    const stored = images.map(({ visibility, tags }) => [visibility, tags.toSorted().join()]);
    assert.deepEqual(stored, [["private", "deep blue,sea"], ["public", ""], ["private", ""]]);
  },

  async "Files that are too large or no pictures are rejected and not sent"(world, visit) {
    const { service, user, page, log } = await openUploads(world, visit);
    const [file] = pictures(1);
    const notes = textFile("notes.jpg");
    const huge = { name: "huge.jpg", mimeType: "image/jpeg", buffer: Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), Buffer.alloc(11 * MIB)]) };
    await choose(page, [notes, huge, file]);
    await summaryIs(page, "1 of 3 uploaded, 2 failed");
    await rowOf(page, notes).getByText("This is not a picture that the service accepts. It accepts JPEG, PNG, GIF, WebP.").waitFor();
    await rowOf(page, huge).getByText("The limit is 10.5 MB.").waitFor();
    assert.equal(await panelOf(page).getByRole("button", { name: "Retry" }).count(), 0, "rejected files cannot be retried");
    assert.equal(log.forms.length + log.of("POST", /tus$/).length, 1, "the rejected files are not sent");
    await assertStored(service, user, [file]);
  },

  async "The message of the service stands next to a damaged picture"(world, visit) {
    visit.expect(/400/);
    const { service, user, page } = await openUploads(world, visit);
    const [good, damaged] = pictures(2);
    damaged.buffer.fill(0, 300, 900);
    await choose(page, [damaged, good]);
    await rowOf(page, damaged).getByText("The image is damaged").waitFor();
    await areUploaded(page, [good]);
    await summaryIs(page, "1 of 2 uploaded, 1 failed");
    assert.equal(await rowOf(page, damaged).getByRole("button", { name: "Retry" }).count(), 0);
    await assertStored(service, user, [good]);
  },

  async "The keyboard alone opens the menu, reaches the file picker, and cancels a file"(world, visit) {
    const { service, user, page } = await openUploads(world, visit);
    const [file, other] = pictures(2);
    const release = await hold(visit, FORMS);
    // Early, because the browser must be ready before a key opens the file picker.
    const chooser = page.waitForEvent("filechooser");
    await tabTo(page.locator("summary[aria-label='Upload']"));
    await page.keyboard.press("Enter");
    await tabTo(filePicker(page).locator("input"));
    const outline = await filePicker(page).evaluate((label) => getComputedStyle(label).outlineStyle);
    assert.equal(outline, "solid", "the focus is visible");
    await page.keyboard.press("Space");
    await Promise.all([page.waitForRequest(FORMS), chooser.then((dialog) => dialog.setFiles([file, other]))]);
    await tabTo(page.locator(`button[aria-label='Cancel ${file.name}']`));
    await Promise.all([page.waitForEvent("requestfailed"), page.keyboard.press("Enter")]);
    await rowOf(page, file).waitFor({ state: "detached" });
    release();
    await areUploaded(page, [other]);
    await assertStored(service, user, [other]);
    await tabTo(page.locator(`button[aria-label='Close the list of uploads']`));
    await page.keyboard.press("Enter");
    await panelOf(page).waitFor({ state: "detached" });
  },

  async "The keyboard alone chooses who sees the next files, and retries one that failed"(world, visit) {
    visit.expect(/ERR_FAILED/);
    await visit.context.clock.install();
    const { service, user, page } = await openUploads(world, visit);
    const file = picture("private.png");
    await visit.context.route(FORMS, (route) => route.abort());
    const chooser = page.waitForEvent("filechooser");
    await pressOn(page.locator("summary[aria-label='Upload']"));
    await chooseOption(page.getByLabel("Who can see them"), "Private: only its owner can see it");
    await typeInto(page.getByLabel("Tags, separated by commas"), "sea");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Enter");
    await pressOn(filePicker(page).locator("input"), "Space");
    await (await chooser).setFiles([file]);
    const retry = page.getByRole("button", { name: `Retry ${file.name}` });
    while (!(await retry.isVisible())) await page.clock.runFor(1000);
    await visit.context.unrouteAll();
    await pressOn(retry);
    await areUploaded(page, [file]);
    const [{ visibility, tags }] = await assertStored(service, user, [file]);
    assert.deepEqual([visibility, tags], ["private", ["sea"]]);
  },

  async "A picture that arrives while the gallery is loading appears once"(world, visit) {
    const release = await hold(visit, ({ pathname }) => pathname.endsWith("/app/tiles"));
    const { service, user, page } = await openUploads(world, visit);
    const [file] = pictures(1);
    const tile = page.waitForResponse(TILES);
    await choose(page, [file]);
    await areUploaded(page, [file]);
    await (await tile).finished();
    const list = page.waitForResponse(/\/app\/tiles\?/);
    release();
    await (await list).finished();
    const [image] = await imagesOf(service, user);
    await tileOf(page, image).first().waitFor();
    await showsPictures(page, [file.name]);
    await page.getByRole("status").getByText("1 picture", { exact: true }).waitFor();
  },

  async "Pictures that arrive in another order appear as they do after a reload"(world, visit) {
    const { page } = await openUploads(world, visit);
    const files = pictures(2);
    const release = await hold(visit, TILES, 1);
    for (const file of files) {
      await choose(page, [file]);
      await areUploaded(page, [file]);
    }
    await showsPictures(page, [files[1].name]);
    release();
    await page.locator(".tile").nth(1).waitFor();
    const names = await namesOf(page);
    await page.reload();
    await page.locator(".tile").nth(1).waitFor();
    assert.deepEqual(names, await namesOf(page));
  },

  async "Another user does not continue the uploads of the one before"(world, visit) {
    const { service, user, page } = await openUploads(world, visit);
    const files = pictures(5);
    const release = await hold(visit, FORMS);
    await choose(page, files);
    await rowOf(page, files[0]).getByRole("progressbar").waitFor();
    const other = createUser(service);
    await page.locator("summary[aria-label^='Account of']").click();
    await page.getByRole("button", { name: "Change the user name" }).click();
    await page.getByLabel("User name").fill(other.id);
    await page.getByLabel("User name").press("Enter");
    await page.getByText("No pictures yet").waitFor();
    await panelOf(page).waitFor({ state: "detached" });
    release();
    const [file] = pictures(1);
    await choose(page, [file]);
    await areUploaded(page, [file]);
    await showsPictures(page, [file.name]);
    await assertStored(service, other, [file]);
    await assertStored(service, user, []);
  },

  async "The menu and the list of uploads have no serious barriers"(world) {
    const visit = await world.visit({ reducedMotion: "reduce" });
    visit.expect(/401/);
    const { page } = await openUploads(world, visit);
    const [failing, ...held] = pictures(5);
    // Without a session that could be renewed, this is not repeated.
    await visit.context.route(FORMS, (route) => route.fulfill({ status: 401, json: { message: "Who are you?" } }), { times: 1 });
    await choose(page, [failing, textFile("notes.jpg")]);
    await summaryIs(page, "0 of 2 uploaded, 2 failed");
    await hold(visit, FORMS);
    await choose(page, held);
    await rowOf(page, held[0]).getByRole("progressbar").waitFor();
    await rowOf(page, held[3]).getByText("Waiting").waitFor();
    await openMenu(page);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await assertAccessible(world, page);
    }
  },
};
