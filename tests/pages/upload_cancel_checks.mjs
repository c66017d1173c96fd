// Checks of uploads that their user cancels or leaves.

import { strict as assert } from "node:assert";

import { showsPictures } from "./gallery_page.mjs";
import {
  areUploaded,
  assertStored,
  choose,
  hold,
  largePicture,
  openUnreliably,
  openUploads,
  panelOf,
  picture,
  pictures,
  rowOf,
  summaryIs,
} from "./upload_page.mjs";

const FORMS = "**/images";
/** Bytes per second. */
const SLOW = 300_000;

export const checks = {
  async "Files that are cancelled while they are sent are not stored"(world, visit) {
    const { proxy, service, user, page, log } = await openUnreliably(world, visit);
    const [form, tus] = [largePicture("form.png", 1_900_000), largePicture("tus.png")];
    proxy.rate = SLOW;
    await Promise.all([page.waitForRequest(FORMS), page.waitForRequest((request) => request.method() === "PATCH"), choose(page, [form, tus])]);
    await proxy.forwarded(SLOW);
    const deletion = page.waitForResponse((response) => response.request().method() === "DELETE");
    const cancel = async () => {
      for (const { name } of [form, tus]) await page.getByRole("button", { name: `Cancel ${name}` }).click();
    };
    const [response] = await Promise.all([deletion, cancel()]);
    proxy.reset();
    assert.equal(response.status(), 204);
    const upload = await fetch(response.url().replace(service.publicUrl, service.url), {
      method: "HEAD",
      headers: { ...user.headers, "Tus-Resumable": "1.0.0" },
    });
    assert.ok([404, 410].includes(upload.status), `the upload is gone: ${upload.status}`);
    assert.equal(log.forms.length + log.pieces.length, 2);
    await panelOf(page).waitFor({ state: "detached" });
    await assertStored(service, user, []);
  },

  async "A file that is cancelled while it waits is not sent"(world, visit) {
    const { service, user, page, log } = await openUploads(world, visit);
    const files = pictures(5);
    const cancelled = files[3];
    const release = await hold(visit, FORMS);
    await choose(page, files);
    await rowOf(page, cancelled).getByText("Waiting").waitFor();
    await rowOf(page, cancelled).getByRole("button", { name: "Cancel" }).click();
    await summaryIs(page, "0 of 4 uploaded");
    release();
    await summaryIs(page, "4 of 4 uploaded");
    assert.equal(log.forms.length, 4);
    await assertStored(service, user, files.filter((file) => file !== cancelled));
  },

  async "A large file that is removed from the list after its upload stays in the gallery"(world, visit) {
    const { service, user, page, log } = await openUploads(world, visit);
    const file = largePicture("large.png");
    await choose(page, [file]);
    await areUploaded(page, [file]);
    await page.getByRole("button", { name: `Remove ${file.name} from the list` }).click();
    await panelOf(page).waitFor({ state: "detached" });
    await page.reload();
    await showsPictures(page, [file.name]);
    await assertStored(service, user, [file]);
    assert.deepEqual(log.of("DELETE", /./).map(({ path }) => path), [], "nothing is deleted");
  },

  async "Leaving the page during an upload asks first, and later it does not"(world, visit) {
    const { page } = await openUploads(world, visit);
    const file = picture("small.png");
    const release = await hold(visit, FORMS);
    await choose(page, [file]);
    await rowOf(page, file).getByRole("progressbar").waitFor();
    const question = page.waitForEvent("dialog");
    await page.close({ runBeforeUnload: true });
    const dialog = await question;
    assert.equal(dialog.type(), "beforeunload");
    await dialog.dismiss();
    release();
    await areUploaded(page, [file]);
    const closed = page.waitForEvent("close").then(() => "closed");
    const asked = page.waitForEvent("dialog").then((dialog) => dialog.accept()).then(() => "asked", () => "closed");
    await page.close({ runBeforeUnload: true });
    const end = await Promise.race([closed, asked]);
    assert.equal(end, "closed");
  },
};
