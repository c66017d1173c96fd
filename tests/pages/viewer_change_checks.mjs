// Checks of the viewer while the gallery below it changes.

import { strict as assert } from "node:assert";

import { until } from "./gallery_page.mjs";
import { openSynthetic } from "./synthetic_tiles.mjs";
import { openViewer, showsPicture } from "./viewer_checks.mjs";

/** Opens a picture of a gallery of twenty that do not exist. */
async function openPicture(world, visit, index) {
  const opened = await openSynthetic(world, visit, 20);
  await openViewer(opened.page, opened.ids[index]);
  return opened;
}

/** Asserts that the keys of the viewer are about the picture that it shows. */
async function assertKeysAreAbout(page, gallery, index) {
  const { id, title } = gallery.tiles[index];
  await showsPicture(page, id);
  await page.keyboard.press("i");
  await page.locator(".viewer .details").getByRole("heading", { name: title, exact: true }).waitFor();
  gallery.deleted.length = 0;
  await page.keyboard.press("Delete");
  await page.getByText("Picture deleted.").last().waitFor();
  assert.deepEqual(gallery.deleted, [id], "the picture that is shown is deleted");
}

export const checks = {
  async "A picture that opens before the gallery is loaded stays the one that can be deleted"(world, visit) {
    let open;
    const path = (gallery) => {
      gallery.gate = new Promise((resolve) => { open = resolve; });
      return `app/images/${gallery.tiles[5].id}`;
    };
    const { page, gallery, ids } = await openSynthetic(world, visit, 20, { path });
    await showsPicture(page, ids[5]);
    open();
    await page.locator(".tile").first().waitFor();
    await assertKeysAreAbout(page, gallery, 5);
  },

  async "A picture that the gallery does not contain closes when it is deleted"(world, visit) {
    const path = ({ tiles, unlisted }) => {
      unlisted.push(tiles[0].id);
      return `app/images/${tiles[0].id}`;
    };
    const { page, ids } = await openSynthetic(world, visit, 3, { path });
    await showsPicture(page, ids[0]);
    await page.getByText("2 pictures").waitFor();
    await page.keyboard.press("Delete");
    await page.getByText("Picture deleted.").waitFor();
    await page.locator(".viewer").waitFor({ state: "detached" });
    await page.getByRole("status").getByText("2 pictures").waitFor();
  },

  async "A picture that the gallery does not contain does not load all of the gallery"(world, visit) {
    const pages = [];
    visit.context.on("request", (request) => /\/app\/tiles\?/.test(request.url()) && pages.push(request.url()));
    const path = ({ tiles, unlisted }) => {
      unlisted.push(tiles[0].id);
      return `app/images/${tiles[0].id}`;
    };
    const { page, ids } = await openSynthetic(world, visit, 900, { path });
    await showsPicture(page, ids[0]);
    await page.getByText("899 pictures").waitFor();
    await page.waitForLoadState("networkidle");
    assert.ok(pages.length <= 2, `${pages.length} pages are loaded`);
  },

  async "A key while a swipe still moves the picture goes on once or twice, and not back"(world) {
    const visit = await world.visit({ hasTouch: true });
    const { page, ids } = await openPicture(world, visit, 5);
    const session = await page.context().newCDPSession(page);
    const send = (type, touchPoints) => session.send("Input.dispatchTouchEvent", { type, touchPoints });
    await send("touchStart", [{ x: 700, y: 300 }]);
    for (const x of [600, 500, 400, 300]) await send("touchMove", [{ x, y: 300 }]);
    await send("touchEnd", []);
    await page.keyboard.press("ArrowRight");
    await page.waitForTimeout(400);
    const index = ids.findIndex((id) => page.url().endsWith(id));
    assert.ok([6, 7].includes(index), `picture ${index}`);
    await showsPicture(page, ids[index]);
  },

  async "After Undo in the viewer, its keys are about the picture that it shows"(world, visit) {
    const { page, ids, gallery } = await openPicture(world, visit, 5);
    await page.keyboard.press("Delete");
    await showsPicture(page, ids[6]);
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("Picture restored.").waitFor();
    // Either is fine: the viewer stays, or shows the restored picture.
    const shown = ids.indexOf(page.url().slice(-36));
    await assertKeysAreAbout(page, gallery, shown);
  },

  async "Holding the Delete key deletes one picture only"(world, visit) {
    const { page, ids, gallery } = await openPicture(world, visit, 5);
    await page.keyboard.down("Delete");
    await showsPicture(page, ids[6]);
    for (let repetition = 0; repetition < 3; repetition++) await page.keyboard.down("Delete");
    await page.keyboard.up("Delete");
    await page.keyboard.press("ArrowRight");
    await until(page, "the viewer pages", (id) => !location.pathname.includes(id), ids[6]);
    assert.deepEqual(gallery.deleted, [ids[5]]);
  },

  async "The keyboard reaches Undo while the viewer is open"(world, visit) {
    const { page, ids, gallery } = await openPicture(world, visit, 5);
    await page.keyboard.press("Delete");
    await showsPicture(page, ids[6]);
    const isOnUndo = () => page.evaluate(() => document.activeElement.textContent === "Undo");
    for (let tabs = 0; tabs < 12 && !(await isOnUndo()); tabs++) await page.keyboard.press("Tab");
    assert.ok(await isOnUndo(), "Tab reaches Undo");
    await page.keyboard.press("Enter");
    await page.getByText("Picture restored.").waitFor();
    assert.deepEqual(gallery.restored, [ids[5]]);
  },
};
