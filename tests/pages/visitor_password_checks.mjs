// Checks of what keeps visitors from a share: its password, its expiry, and that it was deleted.

import { strict as assert } from "node:assert";

import { administer } from "./account_page.mjs";
import { createCollection, send } from "./collection_page.mjs";
import { createUser, showsPictures, until, uploadSmall } from "./gallery_page.mjs";
import { WAYS } from "./keyboard.mjs";
import { assertBelowShares, createShare, expectRefusal, openRefused, openShared, requestsOf, shareCollection, sharedTile, showsInViewer } from "./share_page.mjs";
import { areUploaded, dispatch, picture } from "./upload_page.mjs";

const PASSWORD = "between us";
const WRONG = "The password is wrong.";

function fieldOf(page) {
  return page.getByLabel("Password");
}

/** Submits a password in one of the ways of using the page. */
async function enter(page, password, activate) {
  await fieldOf(page).fill(password);
  if (activate === WAYS[0]) await page.getByRole("button", { name: "Show the pictures" }).click();
  else await fieldOf(page).press("Enter");
}

async function fieldHasFocus(page) {
  await until(page, "the field has the focus", () => document.activeElement.id === "password");
}

/** Sends wrong passwords until the service lets this address wait for some seconds. */
async function guess(service, { path }) {
  for (;;) {
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ password: "a guess" }) };
    const response = await fetch(`${service.url}/${path}/password`, options);
    if (response.status === 429 && Number(response.headers.get("retry-after")) >= 3) return;
    assert.ok([403, 429].includes(response.status), `${response.status}`);
  }
}

export const checks = {
  async "A share asks for its password once, and then shows all its pictures"(world) {
    for (const [service, activate] of [[await world.trusted(), WAYS[0]], [await world.prefixed(), WAYS[1]]]) {
      const visit = await world.visit();
      const { images, share } = await shareCollection(service, ["1", "2"], { password: PASSWORD, max_guest_images: 1 });
      const requests = requestsOf(visit);
      const page = await openRefused(visit, service, share.path, 403);
      await page.getByRole("heading", { name: "Password required" }).waitFor();
      assert.ok(!(await page.content()).includes(images[0].image_id), "nothing is said about the pictures");
      await fieldHasFocus(page);
      expectRefusal(visit, `${share.path}/enter`, 403);
      for (const wrong of ["not this one", "nor this one"]) {
        await enter(page, wrong, activate);
        await page.getByRole("alert").getByText(WRONG).waitFor();
        await fieldHasFocus(page);
        assert.equal(await fieldOf(page).getAttribute("aria-invalid"), "true");
        assert.equal(await fieldOf(page).inputValue(), "");
      }
      await enter(page, PASSWORD, activate);
      await showsPictures(page, ["1", "2"]);
      assert.ok(page.url().endsWith(`/${share.path}`), page.url());
      await activate(sharedTile(page, images[1]));
      await showsInViewer(page, images[1]);
      await until(page, "it is loaded", () => document.querySelector(".slide[aria-hidden=false] img.full").naturalWidth > 0);
      await page.keyboard.press("Escape");
      await dispatch(page, "drop", [picture("added.png")]);
      await areUploaded(page, [picture("added.png")]);
      const again = await visit.open(service, `${share.path}?image=${images[0].image_id}`);
      await showsInViewer(again, images[0]);
      assertBelowShares(service, requests);
      const other = await openRefused(await world.visit(), service, share.path, 403);
      await fieldOf(other).waitFor();
    }
  },

  async "A link to one picture of a share asks for the password too"(world, visit) {
    const service = await world.trusted();
    const { images, share } = await shareCollection(service, ["1", "2"], { password: PASSWORD });
    expectRefusal(visit, `${share.path}\\?image=${images[1].image_id}`, 403);
    const page = await visit.open(service, `${share.path}?image=${images[1].image_id}`, { status: 403 });
    await enter(page, PASSWORD, WAYS[0]);
    await showsPictures(page, ["1", "2"]);
  },

  async "An empty password is not sent"(world, visit) {
    const service = await world.trusted();
    const { share } = await shareCollection(service, ["1"], { password: PASSWORD });
    const page = await openRefused(visit, service, share.path, 403);
    const requests = requestsOf(visit);
    for (const activate of WAYS) {
      await enter(page, "", activate);
      assert.equal(await fieldOf(page).evaluate((field) => field.validity.valueMissing), true);
    }
    assert.deepEqual(requests.filter((request) => request.startsWith("POST ")), []);
  },

  async "After too many wrong passwords, the page says how long to wait"(world, visit) {
    const service = await world.trusted();
    const { share } = await shareCollection(service, ["1"], { password: PASSWORD });
    const page = await openRefused(visit, service, share.path, 403);
    await guess(service, share);
    expectRefusal(visit, `${share.path}/enter`, 429);
    await enter(page, PASSWORD, WAYS[1]);
    await page.getByRole("alert").getByText(/seconds?\b|minutes?\b/).waitFor();
    await fieldHasFocus(page);
  },

  async "A new password, and none, apply to visitors at once"(world, visit) {
    const { service, user, share, page } = await openShared(world, visit, ["1"]);
    await showsPictures(page, ["1"]);
    await send(service, user, "PATCH", `shares/${share.id}`, { password: PASSWORD });
    expectRefusal(visit, share.path, 403);
    await page.reload();
    await enter(page, PASSWORD, WAYS[0]);
    await showsPictures(page, ["1"]);
    await send(service, user, "PATCH", `shares/${share.id}`, { password: "another one" });
    await page.reload();
    await fieldOf(page).waitFor();
    await send(service, user, "PATCH", `shares/${share.id}`, { password: null });
    await page.reload();
    await showsPictures(page, ["1"]);
  },

  async "Expired, deleted and unknown links say so"(world, visit) {
    const service = await world.required();
    const user = await createUser(service);
    const [image] = await uploadSmall(service, user, ["1"]);
    const name = await createCollection(service, user, [image]);
    const share = await createShare(service, user, { collection: name });
    const deleted = await createShare(service, user, { image_id: image.image_id });
    await send(service, user, "DELETE", `shares/${deleted.id}`);
    for (const path of [deleted.path, "s/3q2-7wAAAAAAAAAAAAAAAA", "s/nonsense", "c/no-such-collection"]) {
      const page = await openRefused(visit, service, path, 404);
      await page.getByRole("heading", { name: "Not found" }).waitFor();
      await page.getByText("There is nothing at this address.").waitFor();
      assert.equal(await page.getByRole("link").count(), 0, "visitors are not led to pages that they may not use");
    }
    // The links of a disabled account look like expired ones, which need a minute to expire.
    await administer(service, "PATCH", `accounts/${user.id}`, { disabled: true });
    const page = await openRefused(visit, service, share.path, 403);
    await page.getByRole("heading", { name: "Expired" }).waitFor();
    await page.getByText("This link has expired. Ask its owner for a new one.").waitFor();
  },
};
