// Checks of the gallery: who it asks for, which pictures it shows, and where.

import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";

import { createUser, nameOf, namesOf, newestPictures, openGallery, sharedPictures, showsPictures, tileOf, until } from "./gallery_page.mjs";
import { PHONE } from "./gesture_checks.mjs";

const run = promisify(execFile);
export const MAX_LAYOUT_SHIFT = 0.01;

/** Waits until the pictures in the document are loaded. */
export async function areLoaded(page) {
  await until(page, "the pictures are loaded", () =>
    [...document.querySelectorAll(".tile img")].every(({ complete, naturalWidth }) => complete && naturalWidth > 0));
}

/** Returns how much the contents of the page have moved by themselves, as browsers measure it. */
export function layoutShift(page) {
  return page.evaluate(() =>
    new Promise((resolve) => {
      const read = (list) => {
        const shifts = list.getEntries().filter(({ hadRecentInput }) => !hadRecentInput);
        resolve(shifts.reduce((sum, { value }) => sum + value, 0));
      };
      new PerformanceObserver(read).observe({ type: "layout-shift", buffered: true });
      // Without shifts, the observer is not called.
      requestAnimationFrame(() => setTimeout(() => resolve(0), 100));
    }));
}

/** Asserts that the rows have pictures of equal height that do not overlap, and that all but the last fill the width. */
export async function assertRowsFillWidth(page) {
  const { rows, width } = await page.evaluate(() => {
    const rows = Map.groupBy(document.querySelectorAll(".tile"), (tile) => tile.offsetTop);
    const boxes = (tiles) => tiles.map((tile) => tile.getBoundingClientRect().toJSON());
    return { rows: [...rows.values()].map(boxes), width: document.documentElement.clientWidth };
  });
  assert.ok(rows.length > 1, "the pictures have several rows");
  rows.forEach((row, number) => {
    assert.equal(row[0].left, 0, `row ${number} begins at the left edge`);
    assert.ok(row.every(({ height }) => height === row[0].height), `the pictures of row ${number} have the same height`);
    const isLast = number === rows.length - 1;
    const { right } = row.at(-1);
    assert.ok(isLast ? right <= width : right === width, `row ${number} ends at ${right}, not ${width}`);
    assert.ok(row.slice(1).every(({ left }, index) => left > row[index].right), `pictures of row ${number} overlap`);
    assert.ok(isLast || rows[number + 1][0].top > row[0].bottom, `row ${number} overlaps the next`);
  });
}

/** Returns where the page ends on the right, with all that it shows. */
function widest(page) {
  return page.evaluate(() => {
    const right = (element) => element.getBoundingClientRect().right;
    return Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll("#app > *, header *, main *")].map(right));
  });
}

export const checks = {
  async "The gallery asks once for a user name, remembers it, and can change it"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const page = await visit.open(service, "app/");
    const dialog = page.getByRole("dialog", { name: "Who are you?" });
    await dialog.getByText("This service checks no password").waitFor();
    const field = dialog.getByLabel("User name");
    await field.fill("not a user name");
    await field.press("Enter");
    assert.ok(await dialog.isVisible(), "the page accepts no user name that the service would reject");
    await field.fill(owner.id);
    await field.press("Enter");
    await dialog.waitFor({ state: "detached" });
    await showsPictures(page, images.map(nameOf));
    await page.reload();
    await showsPictures(page, images.map(nameOf));
    assert.equal(await dialog.count(), 0, "the page does not ask again");
    await page.locator("summary[aria-label^='Account of']").click();
    await page.getByLabel(`Account of ${owner.id}`).waitFor();
    await page.getByRole("button", { name: "Change the user name" }).click();
    assert.equal(await field.inputValue(), owner.id);
    await field.fill(createUser(service).id);
    await field.press("Enter");
    await page.getByRole("heading", { name: "No pictures yet" }).waitFor();
  },

  async "A user who only looks from now on is forgotten, and one who cancels is not"(world, visit) {
    const service = await world.trusted();
    const { owner } = await sharedPictures(service);
    const page = await openGallery(visit, service, owner);
    const change = async (name) => {
      await page.locator("summary[aria-label^='Account of']").click();
      await page.getByRole("button", { name: "Change the user name" }).click();
      await page.getByRole("dialog").getByRole("button", { name }).click();
      await page.getByRole("dialog").waitFor({ state: "detached" });
    };
    await change("Cancel");
    await page.getByLabel(`Account of ${owner.id}`).waitFor();
    await change("Only look");
    for (const reloads of [false, true]) {
      if (reloads) await page.reload();
      await page.getByRole("button", { name: "Choose a user name" }).waitFor();
      await page.locator(".tile").first().waitFor();
      assert.ok(!(await namesOf(page)).some((name) => name.includes("private")));
    }
  },

  async "Visitors who only look see public pictures of everyone, and are not asked again"(world, visit) {
    const service = await world.trusted();
    const { images } = await newestPictures(service);
    const page = await visit.open(service, "app/");
    await page.getByRole("button", { name: "Only look" }).click();
    for (const reloads of [false, true]) {
      if (reloads) await page.reload();
      await tileOf(page, images[0]).waitFor();
      assert.ok(!(await namesOf(page)).some((name) => name.includes("private")));
      assert.equal(await page.getByRole("dialog").count(), 0);
    }
    await page.getByRole("button", { name: "Choose a user name" }).click();
    await page.getByRole("dialog", { name: "Who are you?" }).waitFor();
  },

  async "Pictures appear newest first in rows that fill the width, and then nothing moves"(world) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const visit = await world.visit({ viewport: { width: 800, height: 700 } });
    const page = await openGallery(visit, service, owner);
    await showsPictures(page, images.map(nameOf));
    await page.getByRole("status").getByText("9 pictures").waitFor();
    await areLoaded(page);
    const sources = await page.locator(".tile img").evaluateAll((images) => images.map(({ currentSrc }) => currentSrc));
    const isSigned = (source, index) => source.includes(`/${images[index].image_id}/thumbnail?`) && source.includes("signature=");
    assert.ok(sources.every(isSigned), `all URLs are signed: ${sources}`);
    await assertRowsFillWidth(page);
    const isPrivate = images.map(({ visibility }) => visibility === "private");
    const badges = await page.locator(".tile").evaluateAll((tiles) => tiles.map((tile) => tile.querySelector(".badge") !== null));
    assert.deepEqual(badges, isPrivate, "private pictures have a badge");
    const shift = await layoutShift(page);
    assert.ok(shift < MAX_LAYOUT_SHIFT, `the contents moved by ${shift}`);
    await page.setViewportSize({ width: 500, height: 700 });
    await until(page, "the rows fit a narrower page", () =>
      [...document.querySelectorAll(".tile")].every((tile) => tile.getBoundingClientRect().right <= 500));
    await assertRowsFillWidth(page);
  },

  async "Opening the gallery requests its pictures once"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const requests = [];
    visit.context.on("request", (request) => request.url().includes("/app/tiles") && requests.push(request.url()));
    await showsPictures(await openGallery(visit, service, owner), images.map(nameOf));
    assert.equal(requests.length, 1, requests.join(" "));
  },

  async "An empty gallery shows the command that uploads the first picture, also below a path prefix"(world, visit) {
    const service = await world.prefixed();
    const user = createUser(service);
    const page = await openGallery(visit, service, user);
    const command = await page.locator("pre").innerText();
    assert.ok(command.startsWith("curl ") && command.includes(`${service.publicUrl}/images`) && command.includes(user.id), command);
    const folder = `${world.folder}/command`;
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}/picture.jpg`, await page.screenshot({ type: "jpeg", scale: "css" }));
    await run("sh", ["-c", command], { cwd: folder });
    await page.reload();
    await showsPictures(page, ["picture.jpg"]);
    await areLoaded(page);
    await page.getByRole("link", { name: "picture.jpg" }).click();
    await page.waitForURL(`${service.publicUrl}/app/images/*`);
    await page.reload();
    await page.locator(".slide img[alt='picture.jpg']").first().waitFor();
  },

  async "The command for the first picture can be copied"(world, visit) {
    const service = await world.trusted();
    await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const page = await openGallery(visit, service, createUser(service));
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByText("Copied").waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await page.locator("pre").innerText());
  },

  async "A user whom a gateway names sees their own pictures and is not asked"(world) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const page = await (await world.visit({ extraHTTPHeaders: owner.headers })).open(service, "app/");
    await showsPictures(page, images.map(nameOf));
    assert.equal(await page.getByRole("dialog").count(), 0);
    await page.getByLabel(`Account of ${owner.id}`).waitFor();
  },

  async "A phone shows the gallery without overflow, and in dark colours if it prefers them"(world) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const visit = await world.visit({ ...PHONE, colorScheme: "dark" });
    const page = await openGallery(visit, service, owner, "app/?tags=sea");
    await showsPictures(page, images.map(nameOf));
    assert.ok((await widest(page)) <= PHONE.viewport.width, "nothing is wider than the page");
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.ok(Math.max(...background.match(/\d+/g).map(Number)) < 64, `the background is dark: ${background}`);
    await page.locator("summary[aria-label='Filters']").tap();
    await page.getByLabel("Tags", { exact: true }).waitFor();
    assert.ok((await widest(page)) <= PHONE.viewport.width, "the filters are not wider than the page");
    visit.expect(/404/);
    await page.goto(`${service.publicUrl}/app/?tags=${"t".repeat(40)}&collection=${"c".repeat(64)}&user_id=${"u".repeat(255)}`);
    await page.getByRole("button", { name: "Remove the filter" }).nth(2).waitFor();
    assert.ok((await widest(page)) <= PHONE.viewport.width, "long filters are not wider than the page");
  },

  async "A phone shows the gallery without overflow to people who have not signed in"(world) {
    for (const service of [await world.trusted(), await world.required()]) {
      const page = await openGallery(await world.visit(PHONE), service, null);
      await page.getByRole("banner").getByRole("button", { name: /^(Sign in|Choose a user name)$/ }).waitFor();
      assert.ok((await widest(page)) <= PHONE.viewport.width, "nothing is wider than the page");
    }
  },
};
