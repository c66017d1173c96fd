// Check of uploading thirty files at once, of which some fail.

import { strict as assert } from "node:assert";

import { namesOf, showsPictures } from "./gallery_page.mjs";
import { photos } from "./photos.mjs";
import { landscape } from "./pictures.mjs";
import { areUploaded, assertStored, choose, largePicture, openUploads, panelOf, rowOf, summaryIs, textFile, unreliable } from "./upload_page.mjs";

const FORMS = "**/images";
/** So many files take longer than other actions. */
const MANY = { timeout: 90_000 };
/** Of a file that is sent as a form, in many pieces. */
const FORM_BYTES = 400_000;

/** A file that only the service can find to be damaged. */
function damaged(name) {
  const buffer = landscape(200, 150, 1);
  buffer.fill(0, 300, 900);
  return { name, mimeType: "image/png", buffer };
}

export const checks = {
  async "Thirty pictures arrive, three at a time, although the page and the service reject one each and a connection is lost"(world) {
    const visit = await world.visit({ viewport: { width: 1280, height: 2000 } });
    visit.expect(/400/);
    visit.expect(/ERR_/);
    const { service, user, page, log } = await openUploads(world, visit);
    // The first three are sent at the same time.
    const first = [1, 2, 3].map((number) => largePicture(`first ${number}.png`, FORM_BYTES));
    const accepted = [...first, ...(await photos(page, 25))];
    const [notes, broken] = [textFile("notes.jpg"), damaged("broken.png")];
    // One of them is sent over a connection of its own, which ends in the middle of the file.
    const { proxy, service: proxied } = await unreliable(service, visit);
    proxy.cutAfter(FORM_BYTES / 2);
    await visit.context.route(FORMS, (route) => route.continue({ url: `${proxied.publicUrl}/images` }), { times: 1 });
    await choose(page, [...accepted.slice(0, 10), notes, broken, ...accepted.slice(10)]);
    await summaryIs(page, "28 of 30 uploaded, 2 failed", MANY);
    assert.ok(proxy.isDone, "the connection was lost");
    await areUploaded(page, accepted);
    assert.equal(log.mostAtOnce, 3, "the most files at once");
    await rowOf(page, notes).getByText("This is not a picture that the service accepts. It accepts JPEG, PNG, GIF, WebP.").waitFor();
    await rowOf(page, broken).getByText("The image is damaged").waitFor();
    assert.equal(await panelOf(page).getByRole("button", { name: "Retry" }).count(), 0, "rejected files cannot be retried");
    const keys = log.forms.map(({ headers }) => headers["idempotency-key"]);
    assert.deepEqual([keys.length, new Set(keys).size], [29, 28], "one file is sent again with its key, and the rejected one not at all");
    await assertStored(service, user, accepted);
    await page.getByRole("status").getByText("28 pictures").waitFor();
    const names = await namesOf(page);
    assert.deepEqual(names.toSorted(), accepted.map(({ name }) => name).sort());
    await page.reload();
    await showsPictures(page, names);
  },
};
