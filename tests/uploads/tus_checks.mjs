// Checks with tus-js-client in Node.

import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { noise } from "./picture.mjs";

const KIB = 1024;

/** Uploads with tus-js-client, and records its requests. */
class Client {
  constructor(world, user, file, options = {}) {
    this.requests = [];
    this.waiting = [];
    this.finished = new Promise((resolve, reject) => {
      this.upload = new world.tus.Upload(file, {
        endpoint: `${world.service.publicUrl}/uploads/tus`,
        headers: { "X-User-Id": user },
        metadata: { filename: "noise.png", filetype: "image/png" },
        urlStorage: new world.tus.FileUrlStorage(`${world.folder}/urls.json`),
        onSuccess: ({ lastResponse }) => resolve(lastResponse),
        onError: reject,
        onChunkComplete: (_, confirmed) => {
          for (const { bytes, resolve } of this.waiting) if (confirmed >= bytes) resolve();
        },
        onAfterResponse: (request, response) => {
          const offset = Number(response.getHeader("upload-offset"));
          this.requests.push({ method: request.getMethod(), status: response.getStatus(), offset });
        },
        ...options,
      });
    });
    this.finished.catch(() => {});
  }

  start() {
    this.upload.start();
    return this;
  }

  /** Waits until the service has confirmed so many bytes, in pieces. */
  confirmed(bytes) {
    return new Promise((resolve) => this.waiting.push({ bytes, resolve }));
  }

  count(method) {
    return this.requests.filter((request) => request.method === method).length;
  }

  /** Asserts that the client asked where to continue, did so there, and did not create a second upload. */
  assertContinued(created = 1) {
    const log = JSON.stringify(this.requests);
    assert.equal(this.count("POST"), created, `no second upload: ${log}`);
    assert.ok(this.requests.some(({ method, status, offset }) => method === "HEAD" && status === 200 && offset > 0), log);
  }
}

export const checks = {
  async "tus-js-client uploads a file in one piece"(world, user) {
    const file = noise(300, 300);
    const metadata = {
      filename: "Möwe.png",
      filetype: "image/png",
      title: "日の入り",
      description: "Two\nlines",
      tags: "Sea, sun",
      visibility: "private",
    };
    const client = new Client(world, user, file, { metadata }).start();
    const response = await client.finished;
    const image = await world.service.assertArrived(user, file);
    assert.deepEqual(client.requests.map(({ method, status }) => [method, status]), [["POST", 201], ["PATCH", 200]]);
    assert.equal(JSON.parse(response.getBody()).image_id, image.image_id);
    assert.ok(response.getHeader("location").endsWith(`/images/${image.image_id}`));
    assert.deepEqual([image.file_name, image.title, image.description], [metadata.filename, metadata.title, metadata.description]);
    assert.deepEqual([image.tags, image.visibility], [["sea", "sun"], "private"]);
  },

  async "tus-js-client uploads a file in the request that creates the upload"(world, user) {
    const file = noise(300, 300);
    const client = new Client(world, user, file, { uploadDataDuringCreation: true }).start();
    const response = await client.finished;
    const image = await world.service.assertArrived(user, file);
    assert.equal(client.requests.length, 1);
    assert.equal(JSON.parse(response.getBody()).image_id, image.image_id);
  },

  async "tus-js-client uploads a file in pieces of 64 KiB"(world, user) {
    const file = noise(600, 600);
    const client = new Client(world, user, file, { chunkSize: 64 * KIB }).start();
    await client.finished;
    await world.service.assertArrived(user, file);
    assert.equal(client.count("PATCH"), Math.ceil(file.length / (64 * KIB)));
    assert.ok(client.requests.every(({ status }) => status < 300), JSON.stringify(client.requests));
  },

  async "tus-js-client pauses, and a new client continues after the last piece"(world, user) {
    const file = noise(600, 600);
    const first = new Client(world, user, file, { chunkSize: 64 * KIB }).start();
    await first.confirmed(500 * KIB);
    await first.upload.abort();
    await world.service.assertNoImage(user);
    const second = new Client(world, user, file, { chunkSize: 64 * KIB });
    const [previous] = await second.upload.findPreviousUploads();
    assert.ok(previous, "the client finds the previous upload");
    second.upload.resumeFromPreviousUpload(previous);
    await second.start().finished;
    await world.service.assertArrived(user, file);
    second.assertContinued(0);
    assert.ok(second.requests[0].offset >= 500 * KIB, JSON.stringify(second.requests[0]));
  },

  async "tus-js-client pauses within a piece, and continues after the bytes that had arrived"(world, user) {
    const file = noise(800, 800);
    world.proxy.rate = 1024 * KIB;
    const forwarded = world.proxy.forwarded(700 * KIB);
    const client = new Client(world, user, file).start();
    await forwarded;
    await client.upload.abort();
    world.proxy.reset();
    await sleep(1000);
    await client.start().finished;
    await world.service.assertArrived(user, file);
    client.assertContinued();
  },

  async "tus-js-client continues by itself when the connection is lost"(world, user) {
    const file = noise(800, 800);
    world.proxy.cutAfter(700 * KIB);
    const before = await world.service.metric("upload_resumes_total");
    const client = new Client(world, user, file, { retryDelays: [1000, 1000, 1000] }).start();
    await client.finished;
    assert.ok(world.proxy.isDone, "the connection was cut");
    await world.service.assertArrived(user, file);
    client.assertContinued();
    assert.ok((await world.service.metric("upload_resumes_total")) > before);
  },

  async "tus-js-client does not create a second upload if it continues at once when the connection is lost"(world, user) {
    const file = noise(800, 800);
    world.proxy.cutAfter(700 * KIB);
    const client = new Client(world, user, file).start();
    await client.finished;
    await world.service.assertArrived(user, file);
    assert.equal(client.count("POST"), 1, JSON.stringify(client.requests));
    assert.ok(client.count("HEAD") >= 1, JSON.stringify(client.requests));
  },

  async "tus-js-client continues in pieces when the connection is lost"(world, user) {
    const file = noise(800, 800);
    world.proxy.cutAfter(700 * KIB);
    const client = new Client(world, user, file, { chunkSize: 300 * KIB }).start();
    await client.finished;
    assert.ok(world.proxy.isDone, "the connection was cut");
    await world.service.assertArrived(user, file);
    client.assertContinued();
  },

  async "tus-js-client continues after the last piece when the service does not notice that the connection is lost"(world, user) {
    const file = noise(800, 800);
    world.proxy.cutAfter(700 * KIB, { silently: true });
    const client = new Client(world, user, file, { chunkSize: 300 * KIB }).start();
    await client.finished;
    assert.ok(world.proxy.isDone, "the connection was cut");
    await world.service.assertArrived(user, file);
    client.assertContinued();
  },

  async "tus-js-client learns that the upload is complete when the last response is lost"(world, user) {
    const file = noise(300, 300);
    world.proxy.loseResponseTo("PATCH", `x-user-id: ${user}`);
    const client = new Client(world, user, file, { retryDelays: [500, 1000, 2000, 4000] }).start();
    await client.finished;
    assert.ok(world.proxy.isDone, "the response was lost");
    const image = await world.service.assertArrived(user, file);
    assert.equal(client.count("POST"), 1, JSON.stringify(client.requests));
    assert.ok(client.count("HEAD") >= 1, JSON.stringify(client.requests));
    const upload = await world.service.get(`/uploads/${client.upload.url.split("/").pop()}`, user);
    assert.deepEqual([upload.status, upload.body.status, upload.body.image_id], [200, "complete", image.image_id]);
  },

  async "tus-js-client continues when the service was killed and restarted"(world, user) {
    const file = noise(900, 900);
    const retryDelays = [100, 500, 1000, 1000, 2000, 3000, 5000, 10000];
    const client = new Client(world, user, file, { chunkSize: 300 * KIB, retryDelays }).start();
    await client.confirmed(900 * KIB);
    await world.service.kill();
    await sleep(1000);
    await world.service.start();
    await client.finished;
    await world.service.assertArrived(user, file);
    client.assertContinued();
  },

  async "tus-js-client terminates an upload"(world, user) {
    const client = new Client(world, user, noise(600, 600), { chunkSize: 64 * KIB }).start();
    await client.confirmed(300 * KIB);
    const { url } = client.upload;
    await client.upload.abort(true);
    const response = await fetch(url, { method: "HEAD", headers: { "Tus-Resumable": "1.0.0", "X-User-Id": user } });
    assert.equal(response.status, 404);
    assert.equal((await world.service.get("/uploads", user)).body.uploads.length, 0);
    await world.service.assertNoImage(user);
  },

  async "tus-js-client creates another upload when the previous one no longer exists"(world, user) {
    const file = noise(600, 600);
    const first = new Client(world, user, file, { chunkSize: 64 * KIB }).start();
    await first.confirmed(300 * KIB);
    await first.upload.abort();
    const id = first.upload.url.split("/").pop();
    const deleted = await fetch(`${world.service.url}/uploads/${id}`, { method: "DELETE", headers: { "X-User-Id": user } });
    assert.equal(deleted.status, 204);
    const second = new Client(world, user, file);
    const [previous] = await second.upload.findPreviousUploads();
    second.upload.resumeFromPreviousUpload(previous);
    await second.start().finished;
    await world.service.assertArrived(user, file);
    assert.deepEqual(second.requests.map(({ method, status }) => [method, status]), [["HEAD", 404], ["POST", 201], ["PATCH", 200]]);
  },

  async "tus-js-client reports why a file that is not an image was rejected"(world, user) {
    const client = new Client(world, user, randomBytes(300 * KIB), { chunkSize: 64 * KIB }).start();
    const error = await client.finished.then(() => assert.fail("the file was accepted"), (error) => error);
    assert.equal(error.originalResponse.getStatus(), 415);
    const body = JSON.parse(error.originalResponse.getBody());
    assert.match(body.message, /not a JPEG, PNG, GIF or WebP image/);
    assert.ok(error.message.includes(body.message), error.message);
    await world.service.assertNoImage(user);
  },

  async "tus-js-client reports that a file is too large"(world, user) {
    const client = new Client(world, user, Buffer.alloc(11 * KIB * KIB)).start();
    const error = await client.finished.then(() => assert.fail("the file was accepted"), (error) => error);
    assert.equal(error.originalResponse.getStatus(), 413);
    assert.deepEqual(client.requests.map(({ method }) => method), ["POST"]);
  },
};
