// Checks of the pages with the user's collections, and of the page of one of them.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";

import { assertAccessible } from "./accessibility.mjs";
import { addPictures, createCollection, hasOrder, openCollection, send, titlesIn } from "./collection_page.mjs";
import { createUser, namesOf, openGallery, showsPictures, signOut, tileOf, until, uploadSmall } from "./gallery_page.mjs";
import { WAYS } from "./keyboard.mjs";
import { picture } from "./upload_page.mjs";
import { showsPicture } from "./viewer_checks.mjs";

function cards(page) {
  return page.locator(".card");
}

async function assertNoOverflow(page) {
  for (const width of [360, 1280, 3840]) {
    await page.setViewportSize({ width, height: 800 });
    const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    assert.ok(content <= window, `${content} pixels in a window of ${width}`);
  }
}

async function assertAccessibleEverywhere(world, page) {
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await assertAccessible(world, page);
    }
  }
}

export const checks = {
  async "A user without collections creates the first collection, and is told the rule before"(world, visit) {
    const service = await world.trusted();
    for (const activate of WAYS) {
      const user = createUser(service);
      const context = await world.visit();
      const page = await openGallery(context, service, user);
      await activate(page.getByRole("link", { name: "Collections" }));
      await page.getByRole("heading", { name: "No collections yet" }).waitFor();
      assert.ok(page.url().endsWith("/app/collections"));
      await activate(page.getByRole("button", { name: "New collection" }));
      const dialog = page.getByRole("dialog");
      await dialog.getByText(/^1 to 64 letters/).waitFor();
      await assertAccessible(world, page);
      const name = `first-${randomUUID()}`;
      await dialog.getByLabel("Name").fill(name);
      await dialog.getByLabel("Who can see it").selectOption("private");
      await activate(dialog.getByRole("button", { name: "Create" }));
      await page.getByRole("heading", { name: "No pictures in this collection yet" }).waitFor();
      assert.equal((await send(service, user, "GET", `collections/${name}`)).visibility, "private");
      await page.goBack();
      await cards(page).getByText(name).waitFor();
      await page.getByText("0 pictures · Private").waitFor();
    }
  },

  async "A name that is taken is said in the form"(world, visit) {
    const service = await world.trusted();
    const taken = await createCollection(service, createUser(service));
    const page = await openGallery(visit, service, createUser(service), "app/collections");
    visit.expect(/409/);
    await page.getByRole("button", { name: "New collection" }).click();
    await page.getByLabel("Name").fill(taken);
    await page.keyboard.press("Enter");
    await page.getByText(`There is already a collection named "${taken}".`).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  },

  async "Collections are cards with their first pictures, newest first, and open"(world, visit) {
    const service = await world.trusted();
    const user = createUser(service);
    const images = await uploadSmall(service, user, ["One", "Two", "Three"]);
    const older = await createCollection(service, user, [images[1], images[0]]);
    const newer = await createCollection(service, user, images.slice(2), { visibility: "private" });
    await createCollection(service, createUser(service), images);
    const page = await openGallery(visit, service, user, "app/collections");
    await cards(page).nth(1).waitFor();
    const texts = (await cards(page).allInnerTexts()).map((text) => text.replace(/\s+/g, " ").trim());
    assert.deepEqual(texts, [`${newer} 1 picture · Private`, `${older} 2 pictures · Public`]);
    const covers = await page.locator(".cover img").evaluateAll((found) => found.map(({ src }) => src));
    assert.ok(covers[0].includes(images[2].image_id) && covers[1].includes(images[1].image_id), covers.join());
    await until(page, "the covers are loaded", () => [...document.querySelectorAll(".cover img")].every(({ naturalWidth }) => naturalWidth > 0));
    assert.match(await page.title(), /^Collections – /);
    for (const activate of WAYS) {
      await activate(cards(page).nth(1));
      await showsPictures(page, ["Two", "One"]);
      assert.ok(page.url().endsWith(`/app/collections/${older}`));
      await page.getByText("2 pictures").waitFor();
      assert.match(await page.title(), new RegExp(`^${older} – `));
      await page.goBack();
      await cards(page).nth(1).waitFor();
    }
    await assertNoOverflow(page);
    await assertAccessibleEverywhere(world, page);
  },

  async "More collections are loaded while scrolling"(world, visit) {
    const service = await world.trusted();
    const user = createUser(service);
    for (let number = 0; number < 65; number++) await createCollection(service, user);
    const page = await openGallery(visit, service, user, "app/collections");
    await cards(page).nth(29).waitFor();
    await until(page, "all are loaded", () => {
      scrollTo(0, document.body.scrollHeight);
      return document.querySelectorAll(".card").length === 65;
    });
  },

  async "The pictures of a collection open in its order, and Back closes them"(world, visit) {
    const { page, images, name } = await openCollection(world, visit, 3);
    const urlOf = (image) => new RegExp(`/app/collections/${name}/images/${image.image_id}$`);
    const open = [() => tileOf(page, images[1]).click(), () => page.keyboard.press("Enter")];
    for (const start of open) {
      await start();
      await page.waitForURL(urlOf(images[1]));
      await showsPicture(page, images[1].image_id);
      await page.keyboard.press("ArrowRight");
      await page.waitForURL(urlOf(images[2]));
      await page.keyboard.press("ArrowLeft");
      await page.waitForURL(urlOf(images[1]));
      await page.goBack();
      await page.waitForURL(new RegExp(`/app/collections/${name}$`));
      await page.waitForFunction((id) => document.activeElement?.href?.includes(id), images[1].image_id);
    }
    // A link to the picture opens it within the collection.
    await page.goto(page.url() + `/images/${images[0].image_id}`);
    await showsPicture(page, images[0].image_id);
    await page.keyboard.press("ArrowRight");
    await page.waitForURL(urlOf(images[1]));
    await page.reload();
    await showsPicture(page, images[1].image_id);
    await page.keyboard.press("Escape");
    await page.waitForURL(new RegExp(`/app/collections/${name}$`));
    await showsPictures(page, ["1", "2", "3"]);
  },

  async "The owner changes who can see a collection, and copies its link while it is public"(world, visit) {
    const context = await openCollection(world, visit, 1);
    const { service, user, name, page } = context;
    await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const isPressed = (label) => page.getByRole("button", { name: label, exact: true }).getAttribute("aria-pressed");
    for (const activate of WAYS) {
      await activate(page.getByRole("button", { name: "Copy link" }));
      await page.getByText("Copied.").last().waitFor();
      const url = await page.evaluate(() => navigator.clipboard.readText());
      assert.equal(url, `${service.publicUrl}/c/${name}`);
      assert.equal((await fetch(url)).status, 200);
      await activate(page.getByRole("button", { name: "Private", exact: true }));
      await page.getByRole("button", { name: "Copy link" }).waitFor({ state: "detached" });
      assert.deepEqual([await isPressed("Public"), await isPressed("Private")], ["false", "true"]);
      assert.equal((await send(service, user, "GET", `collections/${name}`)).visibility, "private");
      await activate(page.getByRole("button", { name: "Public", exact: true }));
      await page.getByRole("button", { name: "Copy link" }).waitFor();
    }
    await assertNoOverflow(page);
    await assertAccessibleEverywhere(world, page);
  },

  async "Pictures that are uploaded on the page of a collection are added to it"(world, visit) {
    const context = await openCollection(world, visit, 1);
    const { service, user, name, page } = context;
    await page.locator("summary", { hasText: "Add pictures" }).click();
    await page.getByText(/^They are added after the upload\./).waitFor();
    await page.keyboard.press("Escape");
    await addPictures(page, [picture("added.png", 3)]);
    await showsPictures(page, ["1", "added.png"]);
    await page.getByText("2 pictures").waitFor();
    const added = await send(service, user, "GET", `collections/${name}/images`);
    assert.deepEqual(added.images.map(({ file_name: file }) => file), ["small.png", "added.png"]);
    // The collection does not exist when the next one is uploaded.
    await send(service, user, "DELETE", `collections/${name}`);
    visit.expect(/404/);
    await addPictures(page, [picture("late.png", 4)]);
    await page.getByText(`late.png was uploaded, but could not be added to ${name}.`).waitFor();
    await send(service, user, "POST", "collections", { name });
    await page.locator(".toast").getByRole("button", { name: "Retry" }).click();
    await until(page, "it is added", () => [...document.querySelectorAll(".tile img")].some(({ alt }) => alt === "late.png"));
    assert.equal((await titlesIn(service, user, name)).length, 1);
  },

  async "A collection is deleted only after a question, and its pictures stay"(world, visit) {
    const service = await world.trusted();
    for (const activate of WAYS) {
      const { user, name, page } = await openCollection(world, await world.visit(), 2);
      await activate(page.getByRole("button", { name: "Delete the collection" }));
      await page.getByRole("dialog").getByText(`Delete ${name}? Its pictures stay in the gallery.`).waitFor();
      await assertAccessible(world, page);
      await activate(page.getByRole("button", { name: "Cancel" }));
      await activate(page.getByRole("button", { name: "Delete the collection" }));
      await activate(page.getByRole("dialog").getByRole("button", { name: "Delete the collection" }));
      await page.getByText(`${name} deleted.`).waitFor();
      await page.getByText("No collections yet").waitFor();
      await activate(page.getByRole("link", { name: "Pictures", exact: true }));
      await showsPictures(page, ["2", "1"]);
      assert.equal((await send(service, user, "GET", `images?user_id=${user.id}`)).total_count, 2);
    }
  },

  async "A collection that does not exist, and a private one of another user, look the same"(world, visit) {
    const service = await world.trusted();
    const owner = createUser(service);
    const [image] = await uploadSmall(service, owner, ["Of another user"]);
    const hidden = await createCollection(service, owner, [image], { visibility: "private" });
    const open = await createCollection(service, owner, [image]);
    const user = createUser(service);
    visit.expect(/404/);
    for (const activate of WAYS) {
      for (const name of [hidden, "no-such-collection"]) {
        const page = await openGallery(visit, service, user, `app/collections/${name}`);
        await page.getByText("There is no such collection, or it is private.").waitFor();
        assert.deepEqual(await namesOf(page), []);
        await assertAccessible(world, page);
        await activate(page.getByRole("link", { name: "Show your collections" }));
        await page.getByText("No collections yet").waitFor();
      }
    }
    visit.expect(/403/);
    const page = await openGallery(visit, service, user, `app/collections/${open}`);
    await page.getByText("This collection belongs to another user.").waitFor();
    await page.getByRole("link", { name: "Show its pictures" }).click();
    await showsPictures(page, ["Of another user"]);
    await page.getByRole("button", { name: `Remove the filter “collection: ${open}”` }).waitFor();
  },

  async "Visitors are asked to sign in to see collections"(world, visit) {
    const service = await world.required();
    const user = await createUser(service);
    const [image] = await uploadSmall(service, user, ["Mine"]);
    const name = await createCollection(service, user, [image]);
    const page = await visit.open(service, "app/collections");
    const notice = page.getByText("Collections belong to users. Say who you are to see yours.");
    await notice.waitFor();
    await page.getByRole("main").getByRole("button", { name: "Sign in" }).click();
    await page.getByLabel("E-mail address").fill(user.email);
    await page.getByLabel("Password").fill(user.password);
    await page.keyboard.press("Enter");
    await cards(page).getByText(name).click();
    await showsPictures(page, ["Mine"]);
    await page.reload();
    await showsPictures(page, ["Mine"]);
    await signOut(page);
    await notice.waitFor();
    assert.deepEqual(await namesOf(page), []);
    await assertNoOverflow(page);
  },

  async "Collections work below a path prefix"(world, visit) {
    const service = await world.prefixed();
    const user = createUser(service);
    const images = await uploadSmall(service, user, ["1", "2"]);
    const name = await createCollection(service, user, images);
    const page = await openGallery(visit, service, user, `app/collections/${name}/images/${images[1].image_id}`);
    await showsPicture(page, images[1].image_id);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog", { name: "Picture" }).waitFor({ state: "detached" });
    await showsPictures(page, ["1", "2"]);
    await tileOf(page, images[1]).focus();
    await page.keyboard.press("Alt+ArrowLeft");
    await hasOrder({ service, user, name, page }, ["2", "1"]);
  },
};
