#!/usr/bin/env node
// Measures the web pages in Chromium: `run.mjs --program P --node-modules N [--pictures FOLDER] [--images 10000] [--only TEXT]`.
//
// `lighthouse`: its scores of the gallery, signed in, and of a share, on a phone and on a desktop. `scrolling`: frames and memory while
// scrolling through many pictures, with a quarter of the CPU. `first`: when the first picture is painted, in round trips.

import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { PageService } from "../../tests/pages/page_service.mjs";
import { png } from "../../tests/uploads/png.mjs";
import { measureFirstPicture } from "./first_picture.mjs";
import { measureScores } from "./scores.mjs";
import { measureScrolling } from "./scrolling.mjs";

const PORT = 8790;
const ADMINISTRATOR = { email: "root@example.org", password: "correct horse battery" };
const PARALLEL = 8;
const SHARED = 60;

const { values } = parseArgs({
  options: {
    program: { type: "string", default: "target/release/image-service" },
    "node-modules": { type: "string" },
    pictures: { type: "string" },
    images: { type: "string", default: "10000" },
    only: { type: "string", default: "" },
  },
});
const tools = createRequire(`${path.resolve(values["node-modules"])}/`);
const folder = mkdtempSync(path.join(tmpdir(), "image-service-pages-"));
writeFileSync(`${folder}/password`, ADMINISTRATOR.password);
const service = new PageService({
  program: path.resolve(values.program),
  folder,
  port: PORT,
  s3Port: PORT + 1,
  publicUrl: `http://127.0.0.1:${PORT}`,
  administrator: ADMINISTRATOR,
  settings: { AUTH_MODE: "required", ADMIN_EMAIL: ADMINISTRATOR.email, ADMIN_PASSWORD_FILE: `${folder}/password`, MIN_FILE_SIZE: "1" },
});
try {
  await service.start();
  if ("lighthouse first".includes(values.only)) {
    const account = await service.createAccount();
    const share = await uploadAndShare(account, picturesIn(values.pictures));
    if ("lighthouse".includes(values.only)) await measureScores(tools, service, account, share);
    if ("first".includes(values.only)) await measureFirstPicture(tools, service, account, share);
  }
  if ("scrolling".includes(values.only)) {
    const account = await service.createAccount();
    const files = Array.from({ length: Number(values.images) }, (_, index) => syntheticPicture(index));
    const { length } = await upload(account, files);
    await measureScrolling(tools, service, account, length);
  }
} finally {
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** Returns the JPEGs of a folder; without one, generated pictures. */
function picturesIn(folder) {
  if (!folder) return Array.from({ length: SHARED }, (_, index) => syntheticPicture(index, 6));
  const names = readdirSync(folder).filter((name) => /\.jpe?g$/i.test(name)).slice(0, SHARED);
  return names.map((name) => readFileSync(path.join(folder, name)));
}

/** Returns a picture of one colour. */
function syntheticPicture(index, scale = 1) {
  const [width, height] = [[120, 80], [80, 120], [100, 100], [160, 90]][index % 4].map((side) => side * scale);
  const colour = [37, 91, 173].map((step) => (index * step) % 256);
  const row = [0, ...Array.from({ length: width }, () => colour).flat()];
  return png(width, height, Buffer.concat(Array.from({ length: height }, () => Buffer.from(row))));
}

/** Uploads files, and returns the ids of those that the service accepts. */
async function upload(account, files) {
  const ids = [];
  const waiting = [...files];
  const work = async () => {
    while (waiting.length > 0) {
      const form = new FormData();
      form.append("file", new Blob([waiting.pop()]), "picture");
      const response = await fetch(`${service.url}/images`, { method: "POST", headers: account.headers, body: form });
      const body = await response.json();
      if (response.ok) ids.push(body.image_id);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return ids;
}

/** Uploads files, and returns the URL of a share of them. */
async function uploadAndShare(account, files) {
  const headers = { ...account.headers, "Content-Type": "application/json" };
  const ids = await upload(account, files);
  await fetch(`${service.url}/collections`, { method: "POST", headers, body: JSON.stringify({ name: "measured" }) });
  for (const id of ids) await fetch(`${service.url}/collections/measured/images/${id}`, { method: "PUT", headers: account.headers });
  const response = await fetch(`${service.url}/shares`, { method: "POST", headers, body: JSON.stringify({ collection: "measured" }) });
  const { url } = await response.json();
  console.log(`${ids.length} pictures are shared`);
  return url;
}
