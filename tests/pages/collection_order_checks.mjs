// Checks of changing the order of a collection, and of taking pictures out of it.

import { strict as assert } from "node:assert";

import { createCollection, hasOrder, openCollection, send } from "./collection_page.mjs";
import { createUser, openGallery, showsPictures, tileOf, until, uploadManySmall } from "./gallery_page.mjs";
import { WAYS } from "./keyboard.mjs";

function bar(page) {
  return page.getByRole("toolbar", { name: "Selected pictures" });
}

async function selectAll(page, images) {
  for (const image of images) {
    await tileOf(page, image).focus();
    await page.keyboard.press("Space");
  }
}

/** Drags a picture to the left or right side of another one. */
async function drag(page, image, target, side, { drop = true } = {}) {
  const [from, to] = [await tileOf(page, image).boundingBox(), await tileOf(page, target).boundingBox()];
  await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move(from.x + from.width / 2 + 10, from.y + from.height / 2, { steps: 2 });
  await page.mouse.move(side === "left" ? to.x + 5 : to.x + to.width - 5, to.y + to.height / 2, { steps: 5 });
  if (drop) await page.mouse.up();
}

export const checks = {
  async "Pictures of a collection are moved by dragging"(world, visit) {
    const context = await openCollection(world, visit, 5);
    const { page, images } = context;
    await drag(page, images[3], images[0], "left");
    await hasOrder(context, ["4", "1", "2", "3", "5"]);
    await drag(page, images[0], images[4], "right");
    await hasOrder(context, ["4", "2", "3", "5", "1"]);
    await drag(page, images[4], images[1], "left");
    await hasOrder(context, ["4", "5", "2", "3", "1"]);
    assert.ok(!page.url().includes("/images/"), "the end of dragging is no click");
    // Esc leaves everything as it was.
    await drag(page, images[0], images[3], "left", { drop: false });
    assert.equal(await page.locator(".drop-marker").count(), 1);
    await page.keyboard.press("Escape");
    await page.mouse.up();
    assert.equal(await page.locator(".drop-marker").count(), 0);
    await hasOrder(context, ["4", "5", "2", "3", "1"]);
    await page.reload();
    await showsPictures(page, ["4", "5", "2", "3", "1"]);
    await tileOf(page, images[0]).click();
    await page.waitForURL(/\/images\//);
  },

  async "Selected pictures of a collection are dragged together"(world, visit) {
    const context = await openCollection(world, visit, 5);
    const { page, images } = context;
    await selectAll(page, [images[4], images[2]]);
    await drag(page, images[4], images[0], "right");
    await hasOrder(context, ["1", "3", "5", "2", "4"]);
  },

  async "Pictures of a collection are moved with Alt and keys, and stay focused"(world, visit) {
    const context = await openCollection(world, visit, 5);
    const { page, images } = context;
    const press = async (key, place) => {
      await page.keyboard.press(key);
      await page.getByText(`3: place ${place} of 5`).waitFor({ state: "attached" });
      await page.waitForFunction((id) => document.activeElement?.href?.includes(id), images[2].image_id);
    };
    await tileOf(page, images[2]).focus();
    await press("Alt+ArrowLeft", 2);
    await hasOrder(context, ["1", "3", "2", "4", "5"]);
    await press("Alt+ArrowRight", 3);
    await press("Alt+ArrowRight", 4);
    await hasOrder(context, ["1", "2", "4", "3", "5"]);
    await press("Alt+Home", 1);
    await hasOrder(context, ["3", "1", "2", "4", "5"]);
    await page.keyboard.press("Alt+ArrowLeft");
    await press("Alt+End", 5);
    await page.keyboard.press("Alt+ArrowRight");
    await hasOrder(context, ["1", "2", "4", "5", "3"]);
    // Without Alt, the keys move between pictures.
    await page.keyboard.press("Home");
    await hasOrder(context, ["1", "2", "4", "5", "3"]);
    assert.ok(page.url().endsWith(context.name), "Alt and left is not Back");
  },

  async "Selected pictures are moved to the beginning and to the end"(world, visit) {
    const context = await openCollection(world, visit, 5);
    const { page, images } = context;
    await selectAll(page, [images[4], images[2]]);
    await bar(page).getByRole("button", { name: "Move to the beginning" }).click();
    await page.getByText("2 pictures moved to the beginning.").waitFor();
    await hasOrder(context, ["3", "5", "1", "2", "4"]);
    await selectAll(page, [images[4], images[0]]);
    await bar(page).getByRole("button", { name: "Move to the end" }).focus();
    await page.keyboard.press("Enter");
    await page.getByText("2 pictures moved to the end.").waitFor();
    await hasOrder(context, ["3", "2", "4", "5", "1"]);
  },

  async "A picture is moved behind others that are not loaded yet"(world, visit) {
    const service = await world.trusted();
    const user = createUser(service);
    const titles = Array.from({ length: 105 }, (_, index) => String(index + 1));
    const images = await uploadManySmall(service, user, titles);
    const name = await createCollection(service, user, images);
    const page = await openGallery(visit, service, user, `app/collections/${name}`);
    await tileOf(page, images[0]).focus();
    await page.keyboard.press("Alt+End");
    await page.getByText("1: place 105 of 105").waitFor({ state: "attached" });
    await until(page, "the end is shown", (id) => {
      scrollTo(0, document.body.scrollHeight);
      return [...document.querySelectorAll(".tile a")].at(-1)?.href.includes(id);
    }, images[0].image_id);
    assert.equal(await page.locator(".tile a").last().getAttribute("data-index"), "104");
    const last = await send(service, user, "GET", `app/collections/${name}/tiles?limit=1`);
    assert.equal(last.last, images[0].image_id);
  },

  async "The old order returns if the service refuses a new one"(world, visit) {
    const context = await openCollection(world, visit, 4);
    const { service, user, page, images, name } = context;
    visit.expect(/404/);
    await send(service, user, "DELETE", `collections/${name}/images/${images[3].image_id}`);
    await tileOf(page, images[3]).focus();
    await page.keyboard.press("Alt+Home");
    await page.getByText("The order could not be changed. This image is not in the collection.").waitFor();
    await showsPictures(page, ["1", "2", "3", "4"]);
    // Moves that waited for it are dropped.
    let arrive;
    const gate = new Promise((resolve) => { arrive = resolve; });
    visit.expect(/500/);
    await page.route("**/collections/*/images/*", async (route) => {
      await gate;
      await route.fulfill({ status: 500, contentType: "application/json", body: "{}" });
    });
    await drag(page, images[2], images[0], "left");
    await drag(page, images[1], images[0], "right");
    await showsPictures(page, ["3", "1", "2", "4"]);
    arrive();
    await page.getByText("The order could not be changed. The service has a problem. Try again in a moment.").waitFor();
    await showsPictures(page, ["1", "2", "3", "4"]);
  },

  async "Pictures are removed from a collection, and Undo puts them back in their places"(world, visit) {
    const context = await openCollection(world, visit, 5);
    const { service, user, page, images } = context;
    for (const activate of WAYS) {
      await selectAll(page, [images[0], images[1], images[3]]);
      await activate(bar(page).getByRole("button", { name: "Remove from the collection" }));
      await page.getByText("3 pictures removed from the collection.").last().waitFor();
      await hasOrder(context, ["3", "5"]);
      await activate(page.getByRole("button", { name: "Undo" }));
      await page.getByText("3 pictures put back.").last().waitFor();
      await hasOrder(context, ["1", "2", "3", "4", "5"]);
    }
    assert.equal((await send(service, user, "GET", `images?user_id=${user.id}`)).total_count, 5);
    // A deleted picture returns to its place as well.
    await selectAll(page, [images[2], images[3]]);
    await bar(page).getByRole("button", { name: "Delete" }).click();
    await hasOrder(context, ["1", "2", "5"]);
    await page.getByRole("button", { name: "Undo" }).click();
    await hasOrder(context, ["1", "2", "3", "4", "5"]);
  },
};
