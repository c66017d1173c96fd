// Checks of the links with which owners share pictures and collections.

import { strict as assert } from "node:assert";

import { assertAccessible } from "./accessibility.mjs";
import { createPlan } from "./account_page.mjs";
import { createCollection, openCollection, send } from "./collection_page.mjs";
import { detailsOf, openOwn, showsDetails } from "./edit_page.mjs";
import { createUser, openGallery, showsPictures, signIn, tileOf, until, uploadSmall } from "./gallery_page.mjs";
import { WAYS } from "./keyboard.mjs";
import { createShare, expectRefusal, openRefused, openShared, pathOf } from "./share_page.mjs";
import { areUploaded, dispatch, picture } from "./upload_page.mjs";

const PASSWORD = "between us";

function dialogOf(page) {
  return page.getByRole("dialog", { name: "Share by link" });
}

function linksOf(page) {
  return dialogOf(page).getByRole("listitem");
}

/** Copies the first link. */
async function copyLink(page, activate) {
  await page.evaluate(() => navigator.clipboard.writeText(""));
  await activate(linksOf(page).first().getByRole("button", { name: "Copy the link" }));
  await until(page, "the link is copied", async () => (await navigator.clipboard.readText()) !== "");
  return page.evaluate(() => navigator.clipboard.readText());
}

/** Deletes the only link. The focus stays in the dialog. */
async function deleteLink(page, activate) {
  await activate(linksOf(page).getByRole("button", { name: "Delete the link" }));
  await linksOf(page).waitFor({ state: "detached" });
  await until(page, "the focus stays in the dialog", () => document.activeElement.closest("dialog") !== null);
}

async function hasFocus(page, name) {
  await until(page, `${name} has the focus`, (name) => document.activeElement.textContent === name, name);
}

/** Creates a link to a picture or a collection with each way of using the dialog; `fill` fills its form. */
async function createLink(page, activate, fill = async () => {}) {
  const share = page.getByRole("button", { name: "Share", exact: true });
  await activate(share);
  await dialogOf(page).waitFor();
  const create = dialogOf(page).getByRole("button", { name: "Create a link" });
  const another = dialogOf(page).getByRole("button", { name: "Another link" });
  await create.or(another).waitFor();
  if (await another.isVisible()) await activate(another);
  await fill(dialogOf(page));
  await activate(create);
  await another.waitFor();
}

/** Chooses the expiry after 7 days as the way of using the page does. */
async function chooseWeek(dialog, activate) {
  const expiry = dialog.getByLabel("Expires");
  if (activate === WAYS[0]) return expiry.selectOption({ label: "After 7 days" });
  await expiry.focus();
  await expiry.press("ArrowDown");
  await expiry.press("ArrowDown");
}

export const checks = {
  async "The owner shares a private picture, copies the link and deletes it"(world) {
    for (const activate of WAYS) {
      const visit = await world.visit();
      await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
      const { service, page } = await openOwn(world, visit, ["Mine"], { visibility: "private" });
      await createLink(page, activate);
      assert.equal(await dialogOf(page).getByLabel("Pictures from visitors").count(), 0, "visitors cannot add pictures to a picture");
      await linksOf(page).getByText("Does not expire").waitFor();
      const url = await copyLink(page, activate);
      assert.ok(url.startsWith(`${service.publicUrl}/s/`), url);
      const visitor = await (await world.visit()).open(service, pathOf(url));
      await showsPictures(visitor, ["Mine"]);
      await deleteLink(page, activate);
      await page.keyboard.press("Escape");
      await dialogOf(page).waitFor({ state: "detached" });
      await hasFocus(page, "Share");
      assert.ok(await detailsOf(page).isVisible(), "Esc closes the dialog only");
      const refused = await openRefused(await world.visit(), service, pathOf(url), 404);
      await refused.getByRole("heading", { name: "Not found" }).waitFor();
    }
  },

  async "The owner shares a collection for a week, with a password and a number of pictures"(world) {
    for (const activate of WAYS) {
      const visit = await world.visit();
      await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
      const { service, user, name, page } = await openCollection(world, visit, 2);
      await createLink(page, activate, async (dialog) => {
        await chooseWeek(dialog, activate);
        await dialog.getByLabel("Password").fill(PASSWORD);
        await dialog.getByLabel("Pictures from visitors").fill("5");
      });
      const facts = await linksOf(page).locator("small").innerText();
      assert.match(facts, /^Expires on .+ · with a password · 0 of 5 pictures added by visitors$/);
      const [share] = (await send(service, user, "GET", `shares?collection=${name}`)).shares;
      assert.ok(Math.abs(Date.parse(share.expires_at) - Date.now() - 7 * 86_400_000) < 60_000, share.expires_at);
      const visiting = await world.visit();
      const visitor = await openRefused(visiting, service, pathOf(await copyLink(page, activate)), 403);
      await visitor.getByLabel("Password").fill(PASSWORD);
      await visitor.keyboard.press("Enter");
      await showsPictures(visitor, ["1", "2"]);
      await dispatch(visitor, "drop", [picture("added.png")]);
      await areUploaded(visitor, [picture("added.png")]);
      await activate(dialogOf(page).getByRole("button", { name: "Close" }));
      await hasFocus(page, "Share");
      await activate(page.getByRole("button", { name: "Share", exact: true }));
      await linksOf(page).getByText("1 of 5 pictures added by visitors").waitFor();
      await deleteLink(page, activate);
      expectRefusal(visiting, pathOf(share.url), 404);
      await visitor.reload();
      await visitor.getByRole("heading", { name: "Not found" }).waitFor();
    }
  },

  async "A new link is the first of the list, has the focus, and opens in a new tab"(world, visit) {
    const { service, user, name, page } = await openCollection(world, visit, 1);
    const older = await createShare(service, user, { collection: name });
    for (const activate of WAYS) {
      const before = (await send(service, user, "GET", `shares?collection=${name}`)).shares.length;
      await createLink(page, activate);
      await until(page, "the list has one more", (count) => document.querySelectorAll(".shares li").length === count, before + 1);
      await until(page, "its first button has the focus", () => document.activeElement === document.querySelector(".shares button"));
      assert.match(await linksOf(page).last().innerText(), new RegExp(older.path));
      const opened = page.waitForEvent("popup");
      await activate(linksOf(page).first().getByRole("link"));
      await showsPictures(await opened, ["1"]);
      await (await opened).close();
      await page.keyboard.press("Escape");
      await hasFocus(page, "Share");
    }
  },

  async "A password that is too short is said next to the field, and no link is created"(world, visit) {
    visit.expect(/422/);
    const { service, user, name, page } = await openCollection(world, visit, 1);
    await page.getByRole("button", { name: "Share", exact: true }).click();
    for (const activate of WAYS) {
      const password = dialogOf(page).getByLabel("Password");
      await password.fill("short");
      await activate(dialogOf(page).getByRole("button", { name: "Create a link" }));
      await until(page, "the field is marked", () => document.querySelector("dialog [name=password]").getAttribute("aria-invalid") === "true");
      assert.equal(await password.evaluate((field) => field === document.activeElement), true, "the field has the focus");
      const note = await password.evaluate((field) => document.getElementById(field.getAttribute("aria-describedby")).innerText);
      assert.match(note, /6 to 128 characters/);
      assert.equal(await password.inputValue(), "short", "what was typed stays");
      await assertAccessible(world, page);
    }
    assert.deepEqual((await send(service, user, "GET", `shares?collection=${name}`)).shares, []);
    await dialogOf(page).getByLabel("Password").fill("longer than six");
    await page.keyboard.press("Enter");
    await linksOf(page).getByText("with a password").waitFor();
    assert.equal(await dialogOf(page).getByLabel("Password").count(), 0, "another click creates no other link");
    await dialogOf(page).getByRole("button", { name: "Another link" }).click();
    assert.equal(await dialogOf(page).locator("[aria-invalid=true]").count(), 0);
    assert.equal(await dialogOf(page).getByLabel("Password").inputValue(), "", "the form is empty again");
  },

  async "The list shows links that have expired, have a password, and were used to add pictures"(world, visit) {
    const { service, user, name, page } = await openCollection(world, visit, 1);
    await createShare(service, user, { collection: name, expires_in: 3600 });
    await createShare(service, user, { collection: name, password: PASSWORD });
    await createShare(service, user, { collection: name, max_guest_images: 1 });
    // The shortest lifetime is a minute.
    await visit.context.route("**/shares?*", async (route) => {
      const response = await route.fetch();
      const { shares, ...rest } = await response.json();
      await route.fulfill({ response, json: { ...rest, shares: shares.map((share) => ({ ...share, expired: share.expires_at !== null })) } });
    });
    await page.getByRole("button", { name: "Share", exact: true }).click();
    await linksOf(page).nth(2).waitFor();
    const facts = await linksOf(page).locator("small").allInnerTexts();
    assert.deepEqual(facts, ["Does not expire · 0 of 1 picture added by visitors", "Does not expire · with a password", "Expired"]);
  },

  async "Without a connection, the dialog says so"(world, visit) {
    visit.expect(/ERR_FAILED/);
    const { page } = await openCollection(world, visit, 1);
    const offline = dialogOf(page).getByRole("alert").getByText("The service cannot be reached.");
    await visit.context.route("**/shares*", (route) => route.abort());
    await page.getByRole("button", { name: "Share", exact: true }).click();
    await offline.waitFor();
    await visit.context.unrouteAll();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Share", exact: true }).click();
    await offline.waitFor({ state: "detached" });
    await visit.context.route("**/shares", (route) => route.abort());
    await dialogOf(page).getByRole("button", { name: "Create a link" }).click();
    await offline.waitFor();
    await visit.context.unrouteAll();
    await dialogOf(page).getByRole("button", { name: "Create a link" }).click();
    await linksOf(page).waitFor();
    await visit.context.route("**/shares/*", (route) => route.abort());
    await linksOf(page).getByRole("button", { name: "Delete the link" }).click();
    await offline.waitFor();
    await visit.context.unrouteAll();
    await deleteLink(page, WAYS[0]);
    assert.equal(await offline.count(), 0);
  },

  async "Who has a plan without share links or originals is told"(world) {
    for (const features of [{ original: true, thumbnails: ["small", "medium"] }, { thumbnails: ["small", "medium"] }]) {
      const visit = await world.visit();
      visit.expect(/403/);
      const service = await world.required();
      const account = await service.createAccount({ plan: await createPlan(service, features) });
      const [image] = await uploadSmall(service, account, ["Mine"]);
      const page = await openGallery(visit, service, null);
      await signIn(page, account);
      await tileOf(page, image).click();
      await showsDetails(page, image);
      assert.equal(await detailsOf(page).getByText("The plan of its owner includes no downloads and no links.").count(), features.original ? 0 : 1);
      await page.getByRole("button", { name: "Share", exact: true }).click();
      await dialogOf(page).getByRole("button", { name: "Create a link" }).click();
      await dialogOf(page).getByRole("alert").getByText("Your plan does not include sharing by link.").waitFor();
    }
  },

  async "Only owners are offered to share"(world, visit) {
    const service = await world.trusted();
    const owner = createUser(service);
    const [image] = await uploadSmall(service, owner, ["Of another user"]);
    const name = await createCollection(service, owner, [image]);
    for (const [index, user] of [createUser(service), null].entries()) {
      const context = index === 0 ? visit : await world.visit();
      const page = await openGallery(context, service, user, `app/images/${image.image_id}`);
      await showsDetails(page, image);
      const shared = await context.open(service, `app/collections/${name}`);
      if (user) context.expect(/403/);
      await shared.getByRole("main").getByText(user ? "belongs to another user" : "Collections belong to users").waitFor();
      for (const opened of [page, shared]) assert.equal(await opened.getByRole("button", { name: "Share", exact: true }).count(), 0);
    }
    const { page } = await openShared(world, await world.visit(), ["1"]);
    await showsPictures(page, ["1"]);
    assert.equal(await page.getByRole("button", { name: "Share", exact: true }).count(), 0);
  },
};
