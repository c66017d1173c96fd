// Checks of uploads over networks that fail: they continue, are repeated, or are cancelled, and arrive at most once.

import { strict as assert } from "node:assert";

import { createUser, openGallery, showsPictures, signIn } from "./gallery_page.mjs";
import { PREFIX } from "./proxy.mjs";
import {
  LARGE_BYTES,
  UploadLog,
  areUploaded,
  assertStored,
  choose,
  largePicture,
  openUnreliably,
  openUploads,
  picture,
  rowOf,
  summaryIs,
  unreliable,
} from "./upload_page.mjs";

const FORMS = "**/images";
/** The browser reports requests that fail. */
const NETWORK_ERROR = /Failed to load resource/;

/** Goes on to the next attempt of an upload until the page shows something. */
async function wait(page, locator) {
  while (!(await locator.isVisible())) await page.clock.runFor(1000);
}

function offsetOf({ headers }) {
  return Number(headers["upload-offset"]);
}

export const checks = {
  async "A large file continues where the connection was lost, and arrives once"(world, visit) {
    visit.expect(NETWORK_ERROR);
    const { proxy, service, user, page, log } = await openUnreliably(world, visit);
    const file = largePicture("large.png");
    proxy.cutAfter(LARGE_BYTES / 2);
    await choose(page, [file]);
    await areUploaded(page, [file]);
    assert.ok(proxy.isDone, "the connection was lost");
    assert.ok(log.of("HEAD", /uploads\/tus\//).length > 0, "the page asks how much has arrived");
    const offset = offsetOf(log.pieces.at(-1));
    assert.ok(offset > LARGE_BYTES / 4, `the page continues at ${offset}`);
    assert.equal(log.of("POST", /uploads\/tus$/).length, 1, "the upload is created once");
    await assertStored(service, user, [file]);
    await showsPictures(page, [file.name]);
  },

  async "A large file whose last response is lost arrives once, and is not sent again"(world, visit) {
    visit.expect(NETWORK_ERROR);
    const { proxy, service, user, page, log } = await openUnreliably(world, visit);
    const file = largePicture("large.png");
    proxy.loseResponseTo("PATCH", "upload-offset: 0");
    await choose(page, [file]);
    await areUploaded(page, [file]);
    assert.ok(proxy.isDone, "the response was lost");
    assert.equal(log.of("POST", /uploads\/tus$/).length, 1, "the upload is created once");
    assert.deepEqual(log.pieces.map(offsetOf), [0]);
    await assertStored(service, user, [file]);
  },

  async "A form whose response is lost is sent again with the same key, and stored once"(world, visit) {
    visit.expect(NETWORK_ERROR);
    const { service, user, page, log } = await openUploads(world, visit);
    const { proxy, service: proxied } = await unreliable(service, visit);
    const file = picture("small.png");
    proxy.loseResponseTo("POST", "idempotency-key:");
    // Over a new connection: the browser repeats requests by itself if it loses one that it has used before.
    await visit.context.route(FORMS, (route) => route.continue({ url: `${proxied.publicUrl}/images` }), { times: 1 });
    await choose(page, [file]);
    await areUploaded(page, [file]);
    assert.ok(proxy.isDone, "the response was lost");
    const keys = log.forms.map(({ headers }) => headers["idempotency-key"]);
    assert.deepEqual(keys, [keys[0], keys[0]]);
    await assertStored(service, user, [file]);
    await showsPictures(page, [file.name]);
  },

  async "An upload waits while the browser is offline"(world, visit) {
    visit.expect(NETWORK_ERROR);
    await visit.context.clock.install();
    const { service, user, page } = await openUploads(world, visit);
    const [before, file] = [picture("before.png", 1), picture("small.png", 2)];
    await choose(page, [before]);
    await areUploaded(page, [before]);
    const failure = page.waitForEvent("requestfailed");
    await visit.context.setOffline(true);
    await choose(page, [file]);
    await failure;
    await rowOf(page, file).getByText("Waiting for the connection …").waitFor();
    await page.clock.runFor(60_000);
    assert.equal(await rowOf(page, file).getByRole("button", { name: "Retry" }).count(), 0, "the upload does not fail");
    await visit.context.setOffline(false);
    await areUploaded(page, [file]);
    await assertStored(service, user, [before, file]);
  },

  async "The first file of a page also waits while the browser is offline"(world, visit) {
    visit.expect(NETWORK_ERROR);
    const { service, user, page } = await openUploads(world, visit);
    const file = picture("small.png");
    const failure = page.waitForEvent("requestfailed");
    await visit.context.setOffline(true);
    await choose(page, [file]);
    await failure;
    await visit.context.setOffline(false);
    const retry = rowOf(page, file).getByRole("button", { name: "Retry" });
    await rowOf(page, file).getByText("Uploaded").or(retry).waitFor();
    assert.equal(await retry.count(), 0, "the upload fails, although the browser is online again");
    await assertStored(service, user, [file]);
  },

  async "A file that fails after several attempts can be retried"(world, visit) {
    visit.expect(NETWORK_ERROR);
    await visit.context.clock.install();
    const { service, user, page, log } = await openUploads(world, visit);
    const file = picture("small.png");
    const fail = (route) => route.abort();
    await visit.context.route(FORMS, fail);
    await choose(page, [file]);
    const retry = page.getByRole("button", { name: `Retry ${file.name}` });
    await wait(page, retry);
    assert.equal(log.forms.length, 4, "the attempts");
    await rowOf(page, file).getByText("The service cannot be reached.").waitFor();
    await summaryIs(page, "0 of 1 uploaded, 1 failed");
    await visit.context.unroute(FORMS, fail);
    await retry.click();
    await areUploaded(page, [file]);
    await summaryIs(page, "1 of 1 uploaded");
    assert.equal(new Set(log.forms.map(({ headers }) => headers["idempotency-key"])).size, 1, "all attempts have the same key");
    await assertStored(service, user, [file]);
  },

  async "Small and large files arrive below a path prefix"(world, visit) {
    const service = await world.prefixed();
    const user = createUser(service);
    const page = await openGallery(visit, service, user);
    const log = new UploadLog(visit);
    const files = [picture("small.png"), largePicture("large.png")];
    await choose(page, files);
    await areUploaded(page, files);
    assert.deepEqual([log.forms.length, log.pieces.length], [1, 1]);
    assert.ok(log.requests.every(({ path }) => path.startsWith(`${PREFIX}/`)));
    await assertStored(service, user, files);
    await page.getByRole("status").getByText("2 pictures").waitFor();
  },

  async "Uploads succeed after the access token has expired"(world, visit) {
    visit.expect(/401/);
    const service = await world.required();
    const account = await createUser(service);
    const page = await openGallery(visit, service, null);
    await signIn(page, account);
    const refreshes = [];
    visit.context.on("request", (request) => request.url().endsWith("/app/session/refresh") && refreshes.push(request));
    for (const [pattern, file] of [[FORMS, picture("small.png")], ["**/uploads/tus/*", largePicture("large.png")]]) {
      refreshes.length = 0;
      await visit.context.route(pattern, (route) => route.fulfill({ status: 401, json: { message: "expired" } }), { times: 1 });
      await choose(page, [file]);
      await areUploaded(page, [file]);
      assert.equal(refreshes.length, 1, "the token is renewed");
    }
    assert.equal((await page.getByRole("dialog").count()), 0);
  },
};
