// Checks with Uppy in Chromium, in a page of another origin than the service.

import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { noise } from "./picture.mjs";

const GUIDE = new URL("../../docs/uploads.md", import.meta.url);
const KIB = 1024;
/** Slow enough that the connection can be interrupted while a file is sent. */
const SLOW = 2048 * KIB;

async function withPage(world, user, file, act) {
  const name = `${user}.png`;
  world.page.files.set(name, file);
  const page = await world.browser.open(`${world.origin}/`);
  try {
    assert.equal(await page.run("window.isReady"), true, `the modules of the page were not loaded:\n${page.errors.join("\n")}`);
    return await act(page, name, world.service.publicUrl);
  } finally {
    await page.close();
    world.page.files.delete(name);
  }
}

function assertContinued({ requests, errors }) {
  const log = JSON.stringify({ requests, errors });
  assert.equal(requests.filter(({ method }) => method === "POST").length, 1, `no second upload: ${log}`);
  assert.ok(requests.some(({ method, status, offset }) => method === "HEAD" && status === 200 && offset > 0), log);
}

async function uploadToStorage(world, user, withForm) {
  const file = noise(400, 400);
  const { image, errors } = await withPage(world, user, file, (page, name, service) =>
    page.call("uploadToStorage", name, service, user, withForm));
  assert.deepEqual(errors, []);
  assert.equal((await world.service.assertArrived(user, file)).image_id, image?.image_id);
}

/** Runs the example of docs/uploads.md that imports the package. Returns the file that it uploaded, and what it printed. */
async function runExample(world, user, library) {
  const guide = readFileSync(GUIDE, "utf8");
  const examples = guide.split("```js\n").slice(1).map((rest) => rest.split("```")[0]);
  const example = examples.filter((code) => code.includes(`from "${library}"`));
  assert.equal(example.length, 1, `the page has an example for ${library}`);
  const file = noise(300, 300);
  const printed = await withPage(world, user, file, async (page, name, service) => {
    const path = `/${user}.mjs`;
    world.page.scripts.set(path, example[0].replaceAll("http://localhost:8000", service).replaceAll("user123", user));
    return page.call("runExample", path, name);
  });
  return { file, printed };
}

export const checks = {
  async "Uppy in a page uploads a file with tus"(world, user) {
    const file = noise(400, 400);
    await withPage(world, user, file, async (page, name, service) => {
      await page.call("startTus", name, service, user);
      const { image, requests, errors } = await page.call("finishTus");
      assert.deepEqual(errors, []);
      const stored = await world.service.assertArrived(user, file);
      assert.equal(image?.image_id, stored.image_id, JSON.stringify(requests));
      assert.deepEqual([stored.file_name, stored.title, stored.tags], [name, "From a page", ["sea", "sun"]]);
    });
  },

  async "Uppy in a page uploads a file with tus in pieces of 64 KiB"(world, user) {
    const file = noise(400, 400);
    await withPage(world, user, file, async (page, name, service) => {
      await page.call("startTus", name, service, user, { chunkSize: 64 * KIB });
      const { requests } = await page.call("finishTus");
      await world.service.assertArrived(user, file);
      assert.equal(requests.filter(({ method }) => method === "PATCH").length, Math.ceil(file.length / (64 * KIB)));
    });
  },

  async "Uppy in a page pauses an upload with tus and continues it"(world, user) {
    const file = noise(1000, 1000);
    world.proxy.rate = SLOW;
    await withPage(world, user, file, async (page, name, service) => {
      await page.call("startTus", name, service, user, { chunkSize: 300 * KIB });
      await page.call("reached", 1000 * KIB);
      await page.run("upload.uppy.pauseAll()");
      await sleep(500);
      await world.service.assertNoImage(user);
      await page.run("upload.uppy.resumeAll()");
      assertContinued(await page.call("finishTus"));
      await world.service.assertArrived(user, file);
    });
  },

  async "Uppy in a page continues an upload with tus when the network is back"(world, user) {
    const file = noise(1000, 1000);
    world.proxy.rate = SLOW;
    await withPage(world, user, file, async (page, name, service) => {
      await page.call("startTus", name, service, user, { chunkSize: 300 * KIB });
      await page.call("reached", 1000 * KIB);
      await page.setOffline(true);
      await sleep(2000);
      await world.service.assertNoImage(user);
      await page.setOffline(false);
      assertContinued(await page.call("finishTus"));
      await world.service.assertArrived(user, file);
    });
  },

  async "Uppy in a page continues an upload with tus when the service was killed and restarted"(world, user) {
    const file = noise(1000, 1000);
    world.proxy.rate = SLOW;
    await withPage(world, user, file, async (page, name, service) => {
      await page.call("startTus", name, service, user, { chunkSize: 300 * KIB, retryDelays: [200, 500, 1000, 2000, 3000, 5000, 10000] });
      await page.call("reached", 1000 * KIB);
      await world.service.kill();
      await sleep(500);
      await world.service.start();
      assertContinued(await page.call("finishTus"));
      await world.service.assertArrived(user, file);
    });
  },

  async "Uppy in a page can read why a file was rejected"(world, user) {
    await withPage(world, user, randomBytes(100 * KIB), async (page, name, service) => {
      await page.call("startTus", name, service, user);
      const { errors } = await page.call("finishTus");
      assert.match(JSON.parse(errors[0]?.body ?? "{}").message, /not a JPEG, PNG, GIF or WebP image/, JSON.stringify(errors));
      await world.service.assertNoImage(user);
    });
  },

  async "Uppy in a page uploads a file to the storage with a form"(world, user) {
    await uploadToStorage(world, user, true);
  },

  async "Uppy in a page uploads a file to the storage with a presigned URL"(world, user) {
    await uploadToStorage(world, user, false);
  },

  async "the example of the guide for tus-js-client works in a page"(world, user) {
    const { file, printed } = await runExample(world, user, "tus-js-client");
    const image = await world.service.assertArrived(user, file);
    assert.equal(JSON.parse(printed).image_id, image.image_id);
    assert.equal(image.title, "Sunset");
  },

  async "the example of the guide for Uppy with tus works in a page"(world, user) {
    const { file, printed } = await runExample(world, user, "@uppy/tus");
    const image = await world.service.assertArrived(user, file);
    assert.equal(JSON.parse(printed).image_id, image.image_id);
    assert.equal(image.title, "Sunset");
  },

  async "the example of the guide for Uppy with the storage works in a page"(world, user) {
    const { file, printed } = await runExample(world, user, "@uppy/aws-s3");
    assert.equal(printed, (await world.service.assertArrived(user, file)).image_id);
  },
};
