// The uploads of the page as its visitors use them.

import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";

import { Proxy } from "../uploads/proxy.mjs";
import { createUser, openGallery } from "./gallery_page.mjs";
import { landscape } from "./pictures.mjs";

/** Larger files are sent with tus. */
export const LARGE_BYTES = 2_200_000;

/** Returns a file as Playwright takes it: a picture that is sent as a form. */
export function picture(name, seed = 1) {
  return { name, mimeType: "image/png", buffer: landscape(200, 150, seed) };
}

export function pictures(count) {
  return Array.from({ length: count }, (_, index) => picture(`picture-${index + 1}.png`, index + 1));
}

/** Returns a picture that has more bytes than pixels, so that debug builds read it quickly. */
export function largePicture(name, bytes = LARGE_BYTES) {
  const { buffer, ...file } = picture(name);
  return { ...file, buffer: Buffer.concat([buffer, randomBytes(bytes - buffer.length)]) };
}

/** A file that is no picture. */
export function textFile(name) {
  return { name, mimeType: "image/jpeg", buffer: Buffer.from("These are notes.\n".repeat(100)) };
}

/** Opens the gallery as a user without pictures. */
export async function openUploads(world, visit, path) {
  const service = await world.trusted();
  const user = createUser(service);
  return { service, user, page: await openGallery(visit, service, user, path), log: new UploadLog(visit) };
}

/** Opens or closes the menu for uploads. */
export async function openMenu(page) {
  await page.locator("summary[aria-label='Upload']").click();
}

/** The file picker in the menu for uploads. An empty gallery has another one. */
export function filePicker(page) {
  return page.getByRole("banner").locator(".file-picker");
}

/** Chooses files with the file picker. */
export async function choose(page, files) {
  const chooser = page.waitForEvent("filechooser");
  await openMenu(page);
  await filePicker(page).click();
  await (await chooser).setFiles(files);
}

/** Dispatches an event of dragging files over the page, or of pasting them. Returns whether the page has handled it. */
export async function dispatch(page, type, files, { target = "body", text = null } = {}) {
  const encoded = files.map(({ buffer, ...file }) => ({ ...file, content: buffer.toString("base64") }));
  return page.evaluate(({ type, encoded, target, text }) => {
    const data = new DataTransfer();
    for (const { name, mimeType, content } of encoded) {
      data.items.add(new File([Uint8Array.from(atob(content), (byte) => byte.charCodeAt(0))], name, { type: mimeType }));
    }
    if (text !== null) data.setData("text/plain", text);
    const common = { bubbles: true, cancelable: true, composed: true };
    const event = type === "paste"
      ? new ClipboardEvent(type, { ...common, clipboardData: data })
      : new DragEvent(type, { ...common, dataTransfer: data });
    document.querySelector(target).dispatchEvent(event);
    return event.defaultPrevented;
  }, { type, encoded, target, text });
}

/** The list of uploads. */
export function panelOf(page) {
  return page.getByRole("region", { name: "Uploads" });
}

/** A file in the list of uploads. */
export function rowOf(page, { name }) {
  return panelOf(page).locator("li").filter({ has: page.getByText(name, { exact: true }) });
}

/** Waits until the page says that files were uploaded. */
export async function areUploaded(page, files) {
  for (const file of files) await rowOf(page, file).getByText("Uploaded", { exact: true }).waitFor();
}

/** Waits until the list says how many files are uploaded. */
export async function summaryIs(page, text, options) {
  await panelOf(page).getByRole("status").getByText(text, { exact: true }).waitFor(options);
}

export async function imagesOf(service, { id, headers }) {
  const response = await fetch(`${service.url}/images?user_id=${id}&limit=100`, { headers });
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return body.images;
}

/** Asserts that a user has exactly these files as images. Returns the images in the order of the files. */
export async function assertStored(service, user, files) {
  const images = await imagesOf(service, user);
  const described = (list) => list.map(({ file_name: name, sha256 }) => `${name} ${sha256}`).sort();
  const expected = files.map(({ name, buffer }) => ({ file_name: name, sha256: createHash("sha256").update(buffer).digest("hex") }));
  assert.deepEqual(described(images), described(expected));
  return files.map(({ name }) => images.find(({ file_name: other }) => other === name));
}

/** Opens the gallery through a proxy that can slow down or cut connections. */
export async function openUnreliably(world, visit) {
  const { proxy, service } = await unreliable(await world.trusted(), visit);
  const user = createUser(service);
  return { proxy, service, user, page: await openGallery(visit, service, user), log: new UploadLog(visit) };
}

/** Returns the service behind a proxy, and the proxy, which is closed at the end of the visit. */
export async function unreliable(service, visit) {
  const proxy = new Proxy(0, Number(new URL(service.url).port));
  await once(proxy.server, "listening");
  visit.context.on("close", () => proxy.close());
  const publicUrl = `http://127.0.0.1:${proxy.server.address().port}`;
  return { proxy, service: Object.assign(Object.create(service), { publicUrl, origins: [publicUrl, ...service.origins] }) };
}

/** Keeps requests from being sent, or only so many of them. Returns a function that sends them. */
export async function hold(visit, pattern, times) {
  let release;
  const released = new Promise((resolve) => { release = resolve; });
  await visit.context.route(pattern, (route) => released.then(() => route.continue()), { times });
  return release;
}

/** The requests of a visit that are about files, and how many with files were being sent at the same time. */
export class UploadLog {
  requests = [];
  mostAtOnce = 0;
  #sending = new Set();

  constructor(visit) {
    visit.context.on("request", (request) => {
      const { pathname } = new URL(request.url());
      if (!/\/(images|uploads\/.*|limits)$/.test(pathname)) return;
      this.requests.push({ method: request.method(), path: pathname, headers: request.headers() });
      if (!carriesFile(request)) return;
      this.#sending.add(request);
      this.mostAtOnce = Math.max(this.mostAtOnce, this.#sending.size);
    });
    for (const event of ["requestfinished", "requestfailed"]) visit.context.on(event, (request) => this.#sending.delete(request));
  }

  /** The requests with this method to paths that end like this. */
  of(method, path) {
    return this.requests.filter((request) => request.method === method && path.test(request.path));
  }

  get forms() {
    return this.of("POST", /\/images$/);
  }

  get pieces() {
    return this.of("PATCH", /\/uploads\/tus\/[^/]+$/);
  }
}

function carriesFile(request) {
  return request.method() === "PATCH" || (request.method() === "POST" && new URL(request.url()).pathname.endsWith("/images"));
}
