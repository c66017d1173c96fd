// Checks of what administrators can do with the pictures of others in the gallery, and what the owners of these are told.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";

import { assertAccessible } from "./accessibility.mjs";
import { administer } from "./account_page.mjs";
import { createUser, fillSignIn, openGallery, showsPictures, signIn, tileOf, uploadSmall } from "./gallery_page.mjs";
import { WAYS, tabTo } from "./keyboard.mjs";
import { showsPicture } from "./viewer_checks.mjs";

const REASON = "Nobody sees pictures that are taken down, their links stop working, and only administrators can restore them.";

/** Opens the public pictures of an account as the administrator. Returns them newest first, as the gallery shows them. */
async function openAsAdministrator(world, visit, titles) {
  const service = await world.required();
  const owner = await createUser(service);
  await uploadSmall(service, owner, ["Secret"], { visibility: "private" });
  const images = (await uploadSmall(service, owner, titles)).reverse();
  const page = await openGallery(visit, service, null, `app/?user_id=${owner.id}`);
  await page.getByRole("banner").getByRole("button", { name: "Sign in" }).click();
  await fillSignIn(page, service.administrator);
  await page.locator("summary[aria-label^='Account of']").waitFor();
  await showsPictures(page, images.map(({ title }) => title));
  return { service, owner, images, page };
}

function dialogOf(page) {
  return page.getByRole("dialog", { name: "Take down" });
}

function barOf(page) {
  return page.getByRole("toolbar", { name: "Selected pictures" });
}

async function select(page, image) {
  await tileOf(page, image).focus();
  await page.keyboard.press("Space");
}

async function statusesOf(service, images, headers = {}) {
  return Promise.all(images.map(async ({ image_id: id }) => (await fetch(`${service.url}/images/${id}`, { headers })).status));
}

async function undo(page, message) {
  await page.getByText(message).waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText(/restored\./).waitFor();
}

export const checks = {
  async "An administrator takes down a picture of another user in the viewer, after a question, and Undo restores it"(world, visit) {
    const { service, owner, images, page } = await openAsAdministrator(world, visit, ["Before", "Unwanted"]);
    await tileOf(page, images[0]).click();
    await showsPicture(page, images[0].image_id);
    await page.keyboard.press("i");
    await page.locator(".viewer .details").getByRole("heading", { name: "Unwanted" }).waitFor();
    assert.equal(await page.getByRole("button", { name: /^(Edit|Share|Delete)$/ }).count(), 0, "only the owner can do this");
    await page.getByRole("button", { name: "Take down" }).click();
    await dialogOf(page).getByText(`“Unwanted” belongs to ${owner.id}. ${REASON}`).waitFor();
    await assertAccessible(world, page);
    await dialogOf(page).getByRole("button", { name: "Cancel" }).click();
    await dialogOf(page).waitFor({ state: "detached" });
    assert.deepEqual(await statusesOf(service, images), [200, 200]);
    await page.getByRole("button", { name: "Take down" }).click();
    await dialogOf(page).getByRole("button", { name: "Take down" }).click();
    await showsPicture(page, images[1].image_id);
    assert.deepEqual(await statusesOf(service, images, owner.headers), [404, 200]);
    await undo(page, "Picture taken down.");
    assert.deepEqual(await statusesOf(service, images), [200, 200]);
    await page.keyboard.press("Escape");
    await showsPictures(page, ["Unwanted", "Before"]);
  },

  async "An administrator takes down a picture of another user with the keyboard alone"(world, visit) {
    const { service, images, page } = await openAsAdministrator(world, visit, ["Before", "Unwanted"]);
    await tileOf(page, images[0]).press("Enter");
    await showsPicture(page, images[0].image_id);
    await page.keyboard.press("Delete");
    await dialogOf(page).waitFor();
    for (const key of ["Delete", "ArrowRight", "Enter"]) await page.keyboard.press(key);
    await dialogOf(page).waitFor({ state: "detached" });
    await showsPicture(page, images[0].image_id);
    assert.deepEqual(await statusesOf(service, images), [200, 200], "Enter alone takes nothing down");
    await page.keyboard.press("Delete");
    await dialogOf(page).waitFor();
    await page.keyboard.press("Escape");
    await dialogOf(page).waitFor({ state: "detached" });
    await showsPicture(page, images[0].image_id);
    await page.keyboard.press("Delete");
    await tabTo(page.getByRole("button", { name: "Cancel", exact: true }));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await showsPicture(page, images[1].image_id);
    assert.deepEqual(await statusesOf(service, images), [404, 200]);
  },

  async "The Delete key asks an administrator before it takes down a picture"(world, visit) {
    const { service, images, page } = await openAsAdministrator(world, visit, ["Before", "Unwanted"]);
    await tileOf(page, images[0]).press("Delete");
    await dialogOf(page).getByText(`“Unwanted” belongs to`).waitFor();
    assert.deepEqual(await statusesOf(service, images), [200, 200]);
    await dialogOf(page).getByRole("button", { name: "Take down" }).click();
    await page.getByText("1 picture taken down.").waitFor();
    await showsPictures(page, ["Before"]);
    assert.deepEqual(await statusesOf(service, images), [404, 200]);
  },

  async "An administrator restores a picture from the audit trail"(world) {
    for (const activate of WAYS) {
      const { service, images, page } = await openAsAdministrator(world, await world.visit(), ["Unwanted"]);
      const [{ image_id: id }] = images;
      await administer(service, "DELETE", `images/${id}`);
      await page.goto(`${service.publicUrl}/app/admin/audit`);
      const restore = page.getByRole("button", { name: `Restore: ${id}`, exact: true });
      await activate(restore);
      await page.getByText("Picture restored.").waitFor();
      assert.deepEqual(await statusesOf(service, images), [200]);
      await page.reload();
      await page.getByRole("row").filter({ hasText: "image restored" }).filter({ hasText: id }).waitFor();
      assert.equal(await restore.count(), 1);
    }
  },

  async "An administrator takes down selected pictures, own ones too, and Undo restores all"(world, visit) {
    const { service, images, page } = await openAsAdministrator(world, visit, ["One", "Two"]);
    const { email, password } = service.administrator;
    const headers = { Authorization: `Basic ${Buffer.from(`${email}:${password}`).toString("base64")}` };
    for (const image of images) await select(page, image);
    assert.equal(await barOf(page).getByRole("button", { name: /tags|private|public|Delete/ }).count(), 0, "only the owner can do this");
    await barOf(page).getByRole("button", { name: "Take down" }).click();
    await dialogOf(page).getByText(`Pictures of other users: 2 of 2. ${REASON}`).waitFor();
    await dialogOf(page).getByRole("button", { name: "Take down" }).click();
    await showsPictures(page, []);
    await undo(page, "2 pictures taken down.");
    await showsPictures(page, ["Two", "One"]);
    const [own] = await uploadSmall(service, { headers }, ["Own"]);
    await page.goto(`${service.publicUrl}/app/?show=everyone`);
    await select(page, own);
    await barOf(page).getByRole("button", { name: "Delete" }).waitFor();
    await select(page, images[0]);
    await tabTo(page.getByRole("button", { name: "Take down", exact: true }));
    await page.keyboard.press("Enter");
    await dialogOf(page).getByText(`Pictures of other users: 1 of 2. ${REASON}`).waitFor();
    await tabTo(page.getByRole("button", { name: "Cancel", exact: true }));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText("2 pictures deleted.").waitFor();
    assert.deepEqual(await statusesOf(service, [own, ...images]), [404, 404, 200]);
    await undo(page, "2 pictures deleted.");
    assert.deepEqual(await statusesOf(service, [own, ...images]), [200, 200, 200]);
  },

  async "The trash says what administrators have taken down, and that its owner cannot restore it"(world, visit) {
    visit.expect(/403/);
    const service = await world.required();
    const owner = await createUser(service);
    const images = await uploadSmall(service, owner, ["Live <b>", "Deleted"]);
    const page = await openGallery(visit, service, null);
    await signIn(page, owner);
    await showsPictures(page, ["Deleted", "Live <b>"]);
    await select(page, images[1]);
    await barOf(page).getByRole("button", { name: "Delete" }).click();
    await page.getByText("1 picture deleted.").waitFor();
    await administer(service, "DELETE", `images/${images[0].image_id}`);
    await page.goto(`${service.publicUrl}/app/trash`);
    await page.getByText("Taken down by an administrator: Live <b>. Only administrators can restore them.").waitFor();
    await showsPictures(page, ["Deleted"]);
    // While the page is open.
    await administer(service, "DELETE", `images/${images[1].image_id}`);
    await page.locator(".tile a").click();
    await barOf(page).getByRole("button", { name: "Restore" }).click();
    await page.getByText("1 picture failed. An administrator has deleted this image. Only administrators can restore it.").waitFor();
    await page.reload();
    await page.getByText("The trash is empty.").waitFor();
    await page.getByText(/Taken down by an administrator: .*Deleted/).waitFor();
    await assertAccessible(world, page);
    await administer(service, "POST", `images/${images[0].image_id}/restore`);
    await page.reload();
    await page.getByText("Taken down by an administrator: Deleted.").waitFor();
  },

  async "Other users are not offered to take down pictures, and a demoted administrator is told so"(world, visit) {
    visit.expect(/403/);
    const { service, images, page } = await openAsAdministrator(world, await world.visit(), ["One"]);
    await page.close();
    const account = { email: `${randomUUID()}@example.org`, password: "a password for tests" };
    const { id } = await administer(service, "POST", "accounts", { ...account, admin: true });
    const second = await openGallery(visit, service, null, `app/images/${images[0].image_id}?show=everyone`);
    await showsPicture(second, images[0].image_id);
    await second.keyboard.press("Delete");
    assert.equal(await second.getByRole("button", { name: "Take down" }).count() + (await dialogOf(second).count()), 0, "nobody has signed in");
    await second.keyboard.press("Escape");
    await signIn(second, account);
    await administer(service, "PATCH", `accounts/${id}`, { admin: false });
    await tileOf(second, images[0]).click();
    await second.getByRole("button", { name: "Take down" }).click();
    await dialogOf(second).getByRole("button", { name: "Take down" }).click();
    await second.getByRole("status").getByText("Only the owner of image").waitFor();
    assert.deepEqual(await statusesOf(service, images), [200]);
    await second.reload();
    await showsPicture(second, images[0].image_id);
    assert.equal(await second.getByRole("button", { name: "Take down" }).count(), 0);
  },
};
