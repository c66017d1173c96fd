// Takes screenshots of the pages, for people to look at.

import { mkdirSync } from "node:fs";

import { createPlan, openAccount, openAdministration } from "./account_page.mjs";
import { createCollection } from "./collection_page.mjs";
import { openGallery, tileOf } from "./gallery_page.mjs";
import { uploadMany } from "./pictures.mjs";
import { createShare, openRefused } from "./share_page.mjs";
import { choose, dispatch, picture, textFile } from "./upload_page.mjs";

const SIZES = [
  { width: 360, height: 800 },
  { width: 1280, height: 800 },
  { width: 3840, height: 2160 },
];
const USER = { id: "ann", headers: { "X-User-Id": "ann" } };
const PICTURES = 30;

/** What is shown, by the name of the file: each opens a page in a visit. */
const PAGES = {
  gallery: ({ visit, service }) => openGallery(visit, service, USER),
  everyone: ({ visit, service }) => openGallery(visit, service, null),
  empty: ({ visit, service }) => openGallery(visit, service, { id: "newcomer" }),
  "no-results": ({ visit, service }) => openGallery(visit, service, USER, "app/?tags=none"),
  "user-name": ({ visit, service }) => visit.open(service, "app/"),
  "sign-in": async ({ visit, world }) => {
    const page = await visit.open(await world.required(), "app/");
    await page.getByRole("banner").getByRole("button", { name: "Sign in" }).click();
    return page;
  },
  filters: async (context) => {
    const page = await PAGES.gallery(context);
    await page.locator("summary[aria-label='Filters']").click();
    return page;
  },
  selection: async (context) => {
    const page = await PAGES.gallery(context);
    for (const image of context.images.slice(1, 4)) {
      await tileOf(page, image).focus();
      await page.keyboard.press("Space");
    }
    return page;
  },
  upload: async (context) => {
    const page = await PAGES.gallery(context);
    await choose(page, [textFile("notes.jpg"), picture("hills.png", 77)]);
    await page.getByText("1 of 2 uploaded, 1 failed").waitFor();
    return page;
  },
  viewer: ({ visit, service, images }) => openGallery(visit, service, USER, `app/images/${images[3].image_id}`),
  zoomed: async (context) => {
    const page = await PAGES.viewer(context);
    await page.getByRole("button", { name: "Zoom" }).click();
    return page;
  },
  details: async (context) => {
    const page = await PAGES.viewer(context);
    await page.getByRole("button", { name: "Details" }).click();
    await page.getByText("File name").waitFor();
    return page;
  },
  edit: async (context) => {
    const page = await PAGES.details(context);
    await page.getByRole("button", { name: "Edit" }).click();
    return page;
  },
  trash: ({ visit, service }) => openGallery(visit, service, USER, "app/trash"),
  collections: ({ visit, service }) => openGallery(visit, service, USER, "app/collections"),
  "collections-empty": ({ visit, service }) => openGallery(visit, service, { id: "newcomer" }, "app/collections"),
  "collections-signed-out": async ({ visit, world }) => visit.open(await world.required(), "app/collections"),
  "collection-new": async (context) => {
    const page = await PAGES.collections(context);
    await page.getByRole("button", { name: "New collection" }).click();
    return page;
  },
  collection: ({ visit, service }) => openGallery(visit, service, USER, "app/collections/summer-2026"),
  "collection-add": async (context) => {
    const page = await PAGES.collection(context);
    await page.locator("summary", { hasText: "Add pictures" }).click();
    return page;
  },
  "collection-drag": async (context) => {
    const page = await PAGES.collection(context);
    await page.locator(".tile img.loaded").nth(3).waitFor();
    const [from, to] = [await page.locator(".tile a").nth(3).boundingBox(), await page.locator(".tile a").first().boundingBox()];
    await page.mouse.move(from.x + 40, from.y + 40);
    await page.mouse.down();
    await page.mouse.move(to.x + to.width - 5, to.y + 40, { steps: 4 });
    return page;
  },
  "collection-selection": async (context) => {
    const page = await PAGES.collection(context);
    await page.locator(".tile a").nth(1).focus();
    await page.keyboard.press("Space");
    return page;
  },
  "collection-empty": ({ visit, service }) => openGallery(visit, service, USER, "app/collections/empty"),
  "collection-unknown": ({ visit, service }) => openGallery(visit, service, USER, "app/collections/unknown"),
  "share-dialog": async (context) => {
    const page = await PAGES.collection(context);
    await page.getByRole("button", { name: "Share", exact: true }).click();
    await page.getByRole("dialog").getByRole("listitem").first().waitFor();
    return page;
  },
  "share-dialog-picture": async (context) => {
    const page = await PAGES.details(context);
    await page.getByRole("button", { name: "Share", exact: true }).click();
    return page;
  },
  "share-dialog-refused": async (context) => {
    const page = await PAGES["share-dialog"](context);
    await page.getByLabel("Password").fill("short");
    await page.keyboard.press("Enter");
    await page.locator("dialog [aria-invalid=true]").waitFor();
    return page;
  },
  share: ({ visit, service, share }) => visit.open(service, share.path),
  "share-upload": async (context) => {
    const page = await PAGES.share(context);
    await dispatch(page, "drop", [textFile("notes.jpg")]);
    await page.getByText("0 of 1 uploaded, 1 failed").waitFor();
    return page;
  },
  "share-details": async ({ visit, service, share, images }) => {
    const page = await visit.open(service, `${share.path}?image=${images[3].image_id}`);
    await page.getByRole("button", { name: "Details" }).click();
    return page;
  },
  "share-empty": async ({ visit, service }) => {
    return visit.open(service, (await createShare(service, USER, { collection: "empty", max_guest_images: 5 })).path);
  },
  "share-picture": async ({ visit, service, images }) => {
    return visit.open(service, (await createShare(service, USER, { image_id: images[3].image_id })).path);
  },
  "share-password": ({ visit, service, locked }) => openRefused(visit, service, locked.path, 403),
  "share-password-wrong": async (context) => {
    const page = await PAGES["share-password"](context);
    await page.getByLabel("Password").fill("not this one");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    return page;
  },
  "share-unknown": ({ visit, service }) => openRefused(visit, service, "s/3q2-7wAAAAAAAAAAAAAAAA", 404),
  "collection-public": ({ visit, service }) => visit.open(service, "c/summer-2026"),
  account: async ({ visit, world }) => {
    const service = await world.required();
    return (await openAccount(visit, service, { plan: await createPlan(service, { max_images: 5000, max_bytes: 20_000_000_000 }) })).page;
  },
  "account-password": async (context) => {
    const page = await PAGES.account(context);
    await page.getByLabel("Current password").fill("not the password");
    await page.getByLabel("New password").fill("a new password for tests");
    await page.getByRole("button", { name: "Change the password" }).click();
    await page.getByText("Current password is not").waitFor();
    return page;
  },
  "account-new-key": async (context) => {
    const page = await PAGES.account(context);
    await page.getByRole("button", { name: "New API key" }).click();
    return page;
  },
  "account-key": async (context) => {
    const page = await PAGES["account-new-key"](context);
    await page.getByLabel("Description").fill("The shop’s uploader");
    await page.getByRole("button", { name: "Create the key" }).click();
    await page.getByText("It is not shown again.").waitFor();
    return page;
  },
  "account-signed-out": async ({ visit, world }) => visit.open(await world.required(), "app/account"),
  "account-without-accounts": ({ visit, service }) => openGallery(visit, service, USER, "app/account"),
  accounts: ({ visit, world }) => openAdministration(visit, world, "accounts"),
  "account-change": async (context) => {
    const page = await PAGES.accounts(context);
    await page.getByRole("button", { name: /^Change: / }).first().click();
    return page;
  },
  plans: ({ visit, world }) => openAdministration(visit, world, "plans"),
  "plan-change": async (context) => {
    const page = await PAGES.plans(context);
    await page.getByRole("button", { name: "Change: Premium" }).click();
    return page;
  },
  audit: ({ visit, world }) => openAdministration(visit, world, "audit"),
  swagger: ({ visit, service }) => visit.open(service, "docs/"),
  redoc: ({ visit, service }) => visit.open(service, "redoc"),
};

/** Writes `PAGE-WIDTH-SCHEME.png` for each page whose name contains `only`, each width and colour scheme. */
export async function takeScreenshots(world, folder, only) {
  mkdirSync(folder, { recursive: true });
  const service = await world.trusted();
  const images = (await uploadMany(service, USER, PICTURES, { tags: ["hills", "sky"] })).reverse();
  for (const { image_id: id } of images.splice(-3)) {
    await fetch(`${service.url}/images/${id}`, { method: "DELETE", headers: USER.headers });
  }
  await createCollection(service, USER, images.slice(5, 8), { name: "a-collection-with-a-name-that-is-rather-long-and-has-no-spaces" });
  await createCollection(service, USER, images.slice(9), { name: "winter", visibility: "private" });
  await createCollection(service, USER, [], { name: "empty" });
  await createCollection(service, USER, images.slice(2, 20), { name: "summer-2026" });
  const locked = await createShare(service, USER, { collection: "summer-2026", password: "between us", expires_in: 604_800 });
  const share = await createShare(service, USER, { collection: "summer-2026", max_guest_images: 50 });
  for (const [name, open] of Object.entries(PAGES).filter(([name]) => name.includes(only))) {
    for (const viewport of SIZES) {
      for (const colorScheme of ["light", "dark"]) {
        const visit = await world.visit({ viewport, colorScheme });
        const page = await open({ visit, world, service, images, share, locked });
        await page.waitForLoadState("networkidle");
        const file = `${folder}/${name}-${viewport.width}-${colorScheme}.png`;
        await page.screenshot({ path: file });
        console.log(file);
        await world.endVisits();
      }
    }
  }
}
