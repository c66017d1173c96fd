// Checks of the pages behind proxies that serve them over HTTPS: no request leaves it, and cookies are sent only over it.

import { strict as assert } from "node:assert";

import { createCollection, send } from "./collection_page.mjs";
import { showsDetails } from "./edit_page.mjs";
import { showsPictures, signIn, signOut, tileOf, until } from "./gallery_page.mjs";
import { PREFIX } from "./proxy.mjs";
import { openRefused, pathOf, sharedTile, showsInViewer } from "./share_page.mjs";
import { areUploaded, assertStored, choose, openMenu, picture } from "./upload_page.mjs";

const PASSWORD = "between us";

/** Opens a new browser context that accepts the certificate, and records the addresses of its requests. */
async function openVisit(world) {
  const visit = await world.visit({ ignoreHTTPSErrors: true });
  const urls = [];
  visit.context.on("request", (request) => urls.push(request.url()));
  return { visit, urls };
}

/** Asserts that everything was requested over HTTPS. */
function assertSecure(urls) {
  assert.deepEqual(urls.filter((url) => !/^(https|data|blob):/.test(url)), []);
  assert.ok(urls.some((url) => url.startsWith("https:")), "requests were recorded");
}

/** Asserts that the only cookies are secure, out of reach for scripts, and have these paths. */
async function assertCookies(visit, page, paths, sameSite) {
  const cookies = await visit.context.cookies();
  const described = cookies.map(({ httpOnly, secure, sameSite, path }) => ({ httpOnly, secure, sameSite, path }));
  const expected = paths.map((path) => ({ httpOnly: true, secure: true, sameSite, path }));
  assert.deepEqual(described.toSorted((one, other) => (one.path < other.path ? -1 : 1)), expected);
  assert.equal(await page.evaluate(() => document.cookie), "");
}

/** Asserts that the gallery loads a picture from a signed URL below the address of the service. */
async function isShownFrom(page, service, image) {
  await until(page, "the picture is loaded", () => document.querySelector(".tile img")?.naturalWidth > 0);
  const url = new URL(await tileOf(page, image).locator("img").evaluate(({ currentSrc }) => currentSrc));
  assert.ok(url.href.startsWith(`${service.publicUrl}/images/${image.image_id}/`), url.href);
  assert.ok(url.searchParams.has("signature"), url.href);
}

export const checks = {
  async "Over HTTPS, users sign in, stay signed in, upload and download private pictures, and sign out"(world) {
    const service = await world.secured();
    const account = await service.createAccount();
    const { visit, urls } = await openVisit(world);
    const page = await visit.open(service, "app/");
    const passed = page.waitForResponse(/app\/pass$/);
    await signIn(page, account);
    await passed;
    await assertCookies(visit, page, [`${PREFIX}/app`, `${PREFIX}/app/session`], "Strict");
    await page.reload();
    await page.getByText("No pictures yet").waitFor();
    await openMenu(page);
    await page.getByLabel("Who can see them").selectOption("private");
    await openMenu(page);
    const file = picture("private.png");
    await choose(page, [file]);
    await areUploaded(page, [file]);
    const [image] = await assertStored(service, account, [file]);
    await page.reload();
    await showsPictures(page, [`${file.name} (private)`]);
    await isShownFrom(page, service, image);
    await tileOf(page, image).click();
    await showsDetails(page, image);
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download" }).click();
    const download = await downloading;
    assert.ok(download.url().startsWith(service.origins[1]), "the original comes from the storage");
    assert.equal(await download.failure(), null);
    await page.keyboard.press("Escape");
    await signOut(page);
    assert.deepEqual(await visit.context.cookies(), []);
    await page.reload();
    await page.getByRole("banner").getByRole("button", { name: "Sign in" }).waitFor();
    assert.equal(await page.locator(".tile").count(), 0);
    assertSecure(urls);
  },

  async "Over HTTPS, visitors open a share with its password, and chats find its preview"(world) {
    const service = await world.secured();
    const account = await service.createAccount();
    const { visit, urls } = await openVisit(world);
    const page = await visit.open(service, "app/");
    await signIn(page, account);
    const file = picture("shared.png");
    await choose(page, [file]);
    await areUploaded(page, [file]);
    const images = await assertStored(service, account, [file]);
    const name = await createCollection(service, account, images);
    await page.goto(`${service.publicUrl}/app/collections/${name}`);
    await page.getByRole("button", { name: "Share", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "Share by link" });
    const links = dialog.getByRole("listitem");
    await dialog.getByLabel("Password").fill(PASSWORD);
    await dialog.getByRole("button", { name: "Create a link" }).click();
    const url = await links.getByRole("link").getAttribute("href");
    assert.ok(url.startsWith(`${service.publicUrl}/s/`), url);

    const visitor = await openVisit(world);
    const shared = await openRefused(visitor.visit, service, pathOf(url), 403);
    await shared.getByLabel("Password").fill(PASSWORD);
    await shared.keyboard.press("Enter");
    await showsPictures(shared, [file.name]);
    await assertCookies(visitor.visit, shared, [`${PREFIX}/${pathOf(url)}`], "Lax");
    await sharedTile(shared, images[0]).click();
    await showsInViewer(shared, images[0]);
    await until(shared, "it is loaded", () => document.querySelector(".slide[aria-hidden=false] img.full")?.naturalWidth > 0);
    await shared.reload();
    await showsInViewer(shared, images[0]);

    const [{ id }] = (await send(service, account, "GET", `shares?collection=${name}`)).shares;
    await send(service, account, "PATCH", `shares/${id}`, { password: null });
    const open = await visitor.visit.open(service, pathOf(url));
    const preview = (name) => open.locator(`meta[property='og:${name}']`).getAttribute("content");
    assert.equal(await preview("url"), url);
    assert.ok((await preview("image")).startsWith(`${url}/`), await preview("image"));
    const answer = await visitor.visit.context.request.get(await preview("image"));
    assert.deepEqual([answer.status(), answer.headers()["content-type"].split("/")[0]], [200, "image"]);
    assertSecure([...urls, ...visitor.urls]);
  },
};
