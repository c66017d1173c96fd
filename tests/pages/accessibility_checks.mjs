// Checks for barriers in the gallery and what lies over it.

import { assertAccessible } from "./accessibility.mjs";
import { administer, createPlan, openAccount, openAdministration } from "./account_page.mjs";
import { send } from "./collection_page.mjs";
import { createUser, nameOf, openGallery, sharedPictures, showsPictures, tileOf } from "./gallery_page.mjs";
import { expectRefusal, openRefused, shareCollection, sharedTile, showsInViewer } from "./share_page.mjs";
import { hold } from "./upload_page.mjs";
import { showsPicture } from "./viewer_checks.mjs";

const WIDTHS = [360, 1280];
const SCHEMES = ["light", "dark"];

async function assertAccessibleEverywhere(world, page) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await assertAccessible(world, page);
    }
  }
}

export const checks = {
  async "The gallery has no serious barriers"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const page = await openGallery(visit, service, owner, "app/?tags=sea");
    await showsPictures(page, images.map(nameOf));
    await assertAccessibleEverywhere(world, page);
    await page.locator("summary[aria-label='Filters']").click();
    await page.getByLabel("Tags", { exact: true }).waitFor();
    await assertAccessibleEverywhere(world, page);
  },

  async "The gallery has no serious barriers while its pictures are loading"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const release = await hold(visit, "**/thumbnail?*");
    const page = await openGallery(visit, service, owner);
    await showsPictures(page, images.map(nameOf));
    await page.locator(".tile canvas").first().waitFor();
    await page.getByRole("link", { name: nameOf(images[0]), exact: true }).waitFor();
    await assertAccessibleEverywhere(world, page);
    release();
  },

  async "The empty gallery and the dialog for the user name have no serious barriers"(world, visit) {
    const service = await world.trusted();
    const page = await openGallery(visit, service, createUser(service));
    await page.getByText("No pictures yet").waitFor();
    await assertAccessibleEverywhere(world, page);
    await page.locator("summary[aria-label^='Account of']").click();
    await page.getByRole("button", { name: "Change the user name" }).click();
    await page.getByRole("dialog").waitFor();
    await assertAccessibleEverywhere(world, page);
  },

  async "The dialog to sign in has no serious barriers"(world, visit) {
    const page = await visit.open(await world.required(), "app/");
    await page.getByRole("banner").getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("dialog").waitFor();
    await assertAccessibleEverywhere(world, page);
  },

  async "The viewer has no serious barriers"(world, visit) {
    const service = await world.trusted();
    const { owner, images } = await sharedPictures(service);
    const page = await openGallery(visit, service, owner);
    await tileOf(page, images[0]).click();
    await showsPicture(page, images[0].image_id);
    await page.getByRole("button", { name: "Details" }).click();
    await page.locator(".viewer .details").getByRole("heading", { name: images[0].title }).waitFor();
    await assertAccessibleEverywhere(world, page);
  },

  async "The account page has no serious barriers"(world, visit) {
    visit.expect(/422/);
    const service = await world.required();
    const { page } = await openAccount(visit, service, { plan: await createPlan(service, { max_images: 5000, max_bytes: 1_000_000 }) });
    await page.getByLabel("Current password").fill("not the password");
    await page.getByLabel("New password").fill("a new password for tests");
    await page.getByRole("button", { name: "Change the password" }).click();
    await page.getByText("Current password is not").waitFor();
    await assertAccessibleEverywhere(world, page);
    await page.getByRole("button", { name: "New API key" }).click();
    await page.getByRole("dialog").waitFor();
    await assertAccessibleEverywhere(world, page);
    await page.getByRole("button", { name: "Create the key" }).click();
    await page.getByText("It is not shown again.").waitFor();
    await assertAccessibleEverywhere(world, page);
  },

  async "The pages for administrators have no serious barriers"(world, visit) {
    const page = await openAdministration(visit, world, "plans");
    await assertAccessibleEverywhere(world, page);
    await page.getByRole("button", { name: "Change: Basic" }).click();
    await assertAccessibleEverywhere(world, page);
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "Accounts" }).click();
    await page.getByRole("button", { name: "New account" }).click();
    await assertAccessibleEverywhere(world, page);
    await page.keyboard.press("Escape");
    await assertAccessibleEverywhere(world, page);
    await page.getByRole("link", { name: "Audit trail" }).click();
    await page.getByRole("table", { name: "Audit trail" }).waitFor();
    await assertAccessibleEverywhere(world, page);
  },

  async "The pages for visitors have no serious barriers"(world, visit) {
    const service = await world.trusted();
    const { user, images, name, share } = await shareCollection(service, ["1", "2"], { max_guest_images: 5 });
    const page = await visit.open(service, share.path);
    await showsPictures(page, ["1", "2"]);
    await assertAccessibleEverywhere(world, page);
    await sharedTile(page, images[0]).click();
    await showsInViewer(page, images[0]);
    await page.getByRole("button", { name: "Details" }).click();
    await page.locator(".viewer .details").getByRole("heading", { name: "1" }).waitFor();
    await assertAccessibleEverywhere(world, page);
    await send(service, user, "PATCH", `collections/${name}`, { visibility: "public" });
    const collection = await visit.open(service, `c/${name}`);
    await collection.getByText("There are no pictures here yet.").waitFor();
    await assertAccessibleEverywhere(world, collection);
    for (const image of images) await send(service, user, "PATCH", `images/${image.image_id}`, { visibility: "public" });
    await collection.reload();
    await showsPictures(collection, ["1", "2"]);
    await assertAccessibleEverywhere(world, collection);
  },

  async "The pages that keep visitors from a share have no serious barriers"(world, visit) {
    const service = await world.required();
    const { user, share } = await shareCollection(service, ["1"], { password: "between us" });
    const page = await openRefused(visit, service, share.path, 403);
    await assertAccessibleEverywhere(world, page);
    expectRefusal(visit, `${share.path}/enter`, 403);
    await page.getByLabel("Password").fill("not this one");
    await page.keyboard.press("Enter");
    await page.getByText("The password is wrong.").waitFor();
    await assertAccessibleEverywhere(world, page);
    await administer(service, "PATCH", `accounts/${user.id}`, { disabled: true });
    await page.goto(`${service.publicUrl}/${share.path}`);
    await page.getByRole("heading", { name: "Expired" }).waitFor();
    await assertAccessibleEverywhere(world, page);
  },

  async "The dialog for sharing has no serious barriers"(world, visit) {
    const service = await world.trusted();
    const { user, name } = await shareCollection(service, ["1"], { password: "between us", max_guest_images: 5 });
    const page = await openGallery(visit, service, user, `app/collections/${name}`);
    await page.getByRole("button", { name: "Share", exact: true }).click();
    await page.getByRole("dialog").getByRole("listitem").waitFor();
    await assertAccessibleEverywhere(world, page);
  },
};
