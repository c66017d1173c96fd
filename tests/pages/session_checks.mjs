// Checks of accounts: signing in and out, and what others can see.

import { strict as assert } from "node:assert";

import { createUser, nameOf, namesOf, newestPictures, showsPictures, tileOf, until, uploadSmall } from "./gallery_page.mjs";
import { fillSignIn, signIn, signOut } from "./gallery_page.mjs";
import { tabTo } from "./keyboard.mjs";

const LIST = ({ pathname }) => pathname.endsWith("/app/tiles");

async function open(world, visit, path = "app/") {
  const service = await world.required();
  const { owner, images } = await newestPictures(service);
  const page = await visit.open(service, path);
  await page.getByRole("main").waitFor();
  return { service, owner, images, page };
}

/** Waits until only the public ones of these pictures are shown. */
async function showsOnlyPublic(page, images) {
  await tileOf(page, images.find(({ visibility }) => visibility === "public")).waitFor();
  assert.ok(!(await namesOf(page)).some((name) => name.includes("(private)")), "private pictures are hidden");
}

/** Ends all sessions of an account, as from another device. */
async function endSessions(service, account) {
  const response = await fetch(`${service.url}/accounts/me/sessions`, { method: "DELETE", headers: account.headers });
  assert.equal(response.status, 204);
}

export const checks = {
  async "Anonymous visitors see public pictures, and after signing in their own"(world, visit) {
    visit.expect(/401/);
    const { owner, images, page } = await open(world, visit);
    await showsOnlyPublic(page, images);
    await page.getByRole("banner").getByRole("button", { name: "Sign in" }).click();
    await fillSignIn(page, { email: owner.email, password: "a wrong password" });
    await page.getByText("The e-mail address or the password is wrong.").waitFor();
    await fillSignIn(page, owner);
    await showsPictures(page, images.map(nameOf));
    await page.reload();
    await showsPictures(page, images.map(nameOf));
    await signOut(page);
    await showsOnlyPublic(page, images);
    await page.reload();
    await showsOnlyPublic(page, images);
    await page.getByRole("banner").getByRole("button", { name: "Sign in" }).waitFor();
  },

  async "Scripts cannot read the session"(world, visit) {
    const { owner, page } = await open(world, visit);
    const passed = page.waitForResponse(/app\/pass$/);
    await signIn(page, owner);
    await passed;
    const cookies = await visit.context.cookies();
    const attributes = cookies.map(({ httpOnly, secure, sameSite, path }) => [httpOnly, secure, sameSite, path]);
    assert.deepEqual(attributes.toSorted(), [
      [true, true, "Strict", "/app"],
      [true, true, "Strict", "/app/session"],
    ]);
    const readable = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }]));
    assert.ok(!cookies.some(({ value }) => readable.includes(value)) && !readable.includes(owner.password), readable);
    assert.equal(readable, '["",{},{}]');
  },

  async "The keyboard alone signs in and out"(world, visit) {
    const { owner, images, page } = await open(world, visit);
    await page.getByRole("banner").getByRole("button", { name: "Sign in" }).waitFor();
    await tabTo(page.locator("header > .button"));
    await page.keyboard.press("Enter");
    await until(page, "the dialog has the focus", () => document.activeElement.name === "email");
    await page.keyboard.type(owner.email);
    await page.keyboard.press("Tab");
    await page.keyboard.type(owner.password);
    await page.keyboard.press("Enter");
    await showsPictures(page, images.map(nameOf));
    await tabTo(page.locator("summary[aria-label^='Account of']"));
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    await tabTo(page.locator(".menu-panel button"));
    const ended = page.waitForResponse(/\/session\/end$/);
    await page.keyboard.press("Enter");
    await ended;
    await showsOnlyPublic(page, images);
  },

  async "A session that was ended elsewhere asks to sign in again"(world, visit) {
    visit.expect(/401/);
    const { service, owner, images, page } = await open(world, visit);
    await signIn(page, owner);
    await showsPictures(page, images.map(nameOf));
    await endSessions(service, owner);
    await page.getByRole("button", { name: "Everyone’s" }).click();
    await page.getByText("Your session has expired. Sign in again to continue.").waitFor();
    await fillSignIn(page, owner);
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await tileOf(page, images[0]).waitFor();
  },

  async "Signing out hides private pictures among everyone’s, and signing in shows them"(world, visit) {
    const { owner, images, page } = await open(world, visit);
    await signIn(page, owner);
    await page.getByRole("button", { name: "Everyone’s" }).click();
    const hidden = tileOf(page, images.at(-1));
    await hidden.waitFor();
    await signOut(page);
    await hidden.waitFor({ state: "detached" });
    await showsOnlyPublic(page, images);
    await signIn(page, owner);
    await hidden.waitFor();
  },

  async "The form to sign in again accepts every key while a picture is open"(world, visit) {
    visit.expect(/401/);
    const { service, owner, images, page } = await open(world, visit);
    await signIn(page, owner);
    await tileOf(page, images[0]).click();
    await page.waitForURL(/\/app\/images\//);
    await endSessions(service, owner);
    await page.getByRole("dialog", { name: "Picture" }).getByRole("button", { name: "Details" }).click();
    await page.getByText("Your session has expired. Sign in again to continue.").waitFor();
    const field = page.getByLabel("Password");
    await field.focus();
    await page.keyboard.type("zzi");
    assert.equal(await field.inputValue(), "zzi");
    await fillSignIn(page, owner);
    await page.getByRole("button", { name: "Yours" }).waitFor();
  },

  async "An expired access token is renewed without the user noticing"(world, visit) {
    visit.expect(/401/);
    const { owner, images, page } = await open(world, visit);
    await signIn(page, owner);
    await showsPictures(page, images.map(nameOf));
    const expired = { status: 401, json: { error: "Unauthorized", message: "The token has expired." } };
    await page.route(LIST, (route) => route.fulfill(expired), { times: 1 });
    const renewed = page.waitForResponse(/\/session\/refresh$/);
    const repeated = page.waitForResponse((response) => response.url().includes("/app/tiles?") && response.ok());
    await page.getByRole("button", { name: "Everyone’s" }).click();
    assert.equal((await renewed).status(), 200);
    await repeated;
    await until(page, "private pictures are shown", (name) => document.querySelector(`.tile img[alt="${name}"]`) !== null, nameOf(images[1]));
    assert.equal(await page.getByRole("dialog").or(page.getByRole("alert")).count(), 0);
  },

  async "Two tabs that open at the same time are both signed in"(world, visit) {
    const { service, owner, images, page } = await open(world, visit);
    await signIn(page, owner);
    const tabs = await Promise.all([visit.open(service, "app/"), visit.open(service, "app/"), page.reload().then(() => page)]);
    for (const tab of tabs) await showsPictures(tab, images.map(nameOf));
  },

  async "Signing out without a connection says so"(world, visit) {
    visit.expect(/ERR_INTERNET_DISCONNECTED/);
    const { owner, page } = await open(world, visit);
    await signIn(page, owner);
    await visit.context.setOffline(true);
    await page.locator("summary[aria-label^='Account of']").click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.locator(".toast, [role=alert]").getByText("The service cannot be reached").first().waitFor();
  },

  async "Users never see each other’s private pictures"(world, visit) {
    visit.expect(/404/);
    const { service, owner, images, page } = await open(world, visit);
    const other = await createUser(service);
    const [own] = await uploadSmall(service, other, ["Of another user"], { visibility: "private" });
    const hidden = images.find(({ visibility }) => visibility === "private");
    await signIn(page, owner);
    await showsPictures(page, images.map(nameOf));
    await signOut(page);
    await signIn(page, other);
    await showsPictures(page, [nameOf(own)]);
    await page.getByRole("button", { name: "Everyone’s" }).click();
    await tileOf(page, own).waitFor();
    assert.deepEqual((await namesOf(page)).filter((name) => name.includes("(private)")), [nameOf(own)]);
    for (const [reader, ids] of [[other, [own.image_id]], [owner, [hidden.image_id]], [{ headers: {} }, []]]) {
      const response = await fetch(`${service.url}/app/tiles`, { headers: reader.headers });
      const { tiles } = await response.json();
      assert.deepEqual(tiles.filter((tile) => tile.private).map(({ id }) => id), ids);
    }
    await page.goto(`${service.publicUrl}/app/images/${hidden.image_id}`);
    await page.locator(".toast").waitFor();
    await page.waitForURL(/\/app\/$/);
    await showsPictures(page, [nameOf(own)]);
  },
};
