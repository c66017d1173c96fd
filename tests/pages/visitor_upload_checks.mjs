// Checks of the pictures that visitors add to a share.

import { strict as assert } from "node:assert";

import { send } from "./collection_page.mjs";
import { namesOf, openGallery, showsPictures, until } from "./gallery_page.mjs";
import { WAYS, tabTo } from "./keyboard.mjs";
import { landscape } from "./pictures.mjs";
import { addedTo, assertBelowShares, expectRefusal, filesIn, openShared, requestsOf, shareCollection, sharedTile, showsInViewer } from "./share_page.mjs";
import { areUploaded, dispatch, hold, largePicture, panelOf, picture, pictures, rowOf, summaryIs, textFile, unreliable } from "./upload_page.mjs";

const FULL = "No more pictures can be added here.";
const FORMS = "**/s/*/images";

/** Chooses files with the file picker of the page. */
async function choose(page, files, activate = WAYS[0]) {
  const chooser = page.waitForEvent("filechooser");
  if (activate === WAYS[0]) {
    await page.getByText("Add pictures", { exact: true }).click();
  } else {
    await tabTo(page.locator("input[type=file]"));
    await page.keyboard.press("Enter");
  }
  await (await chooser).setFiles(files);
}

/** Waits until the page says how many pictures visitors can still add, and that these are private. */
async function leaves(page, left) {
  const who = "Only people who have a link and the owner can see them.";
  const number = `${left} picture${left > 1 ? "s" : ""}`;
  await says(page, left > 0 ? `You can add ${number}: choose them, drop them here, or paste one. ${who}` : FULL);
}

/** Waits until the page says this about adding pictures; null: nothing. */
async function says(page, text) {
  const isSaid = (text) => (document.querySelector("main .explanation")?.textContent ?? null) === text;
  await until(page, text ?? "nothing is said", isSaid, text);
  assert.equal(await page.getByText("Add pictures", { exact: true }).count(), [null, FULL].includes(text) ? 0 : 1);
}

function names(files) {
  return files.map(({ name }) => name);
}

export const checks = {
  async "Visitors add pictures with the file picker, and the owner sees them"(world) {
    for (const [service, activate] of [[await world.trusted(), WAYS[0]], [await world.prefixed(), WAYS[1]]]) {
      const visit = await world.visit();
      const { user, name, share } = await shareCollection(service, ["1"], { max_guest_images: 6 });
      const requests = requestsOf(visit);
      const page = await visit.open(service, share.path);
      await leaves(page, 6);
      const files = [...pictures(4), largePicture("large.png")];
      await choose(page, files, activate);
      await areUploaded(page, files);
      await summaryIs(page, "5 of 5 uploaded");
      await leaves(page, 1);
      await page.getByRole("status").getByText("6 pictures").waitFor();
      const shown = await namesOf(page);
      assert.deepEqual([shown[0], ...shown.slice(1).sort()], ["1", ...names(files).sort()], "the new pictures are at the end");
      assertBelowShares(service, requests);
      const stored = await filesIn(service, user, name);
      assert.deepEqual(stored.slice(1).sort(), names(files).sort());
      assert.equal(await addedTo(service, user, share), 5);
      await page.reload();
      await showsPictures(page, ["1", ...stored.slice(1)]);
      const owner = await openGallery(await world.visit(), service, user, `app/collections/${name}`);
      await showsPictures(owner, ["1 (private)", ...stored.slice(1).map((file) => `${file} (private)`)]);
    }
  },

  async "Visitors drop and paste pictures, which open in the viewer"(world, visit) {
    const { service, user, name, page } = await openShared(world, visit, ["1"], { max_guest_images: 3 });
    const [dropped, pasted] = [picture("dropped.png", 2), picture("pasted.png", 3)];
    const sign = page.getByText("Drop the pictures to upload them").waitFor();
    await dispatch(page, "dragover", [dropped]);
    await sign;
    await dispatch(page, "drop", [dropped]);
    await showsPictures(page, ["1", "dropped.png"]);
    await leaves(page, 2);
    assert.ok(await dispatch(page, "paste", [pasted]), "the page takes the picture");
    await showsPictures(page, ["1", "dropped.png", "pasted.png"]);
    await leaves(page, 1);
    const { images } = await send(service, user, "GET", `collections/${name}/images`);
    await sharedTile(page, images[2]).click();
    await showsInViewer(page, images[2]);
    await page.keyboard.press("ArrowLeft");
    await showsInViewer(page, images[1]);
  },

  async "Pictures that are too many are named, and not sent"(world, visit) {
    const { service, user, share, page } = await openShared(world, visit, ["1"], { max_guest_images: 2 });
    const requests = requestsOf(visit);
    const files = pictures(3);
    await dispatch(page, "drop", files);
    await summaryIs(page, "2 of 3 uploaded, 1 failed");
    await rowOf(page, files[2]).getByText(FULL).waitFor();
    await page.locator(".tile").nth(2).waitFor();
    assert.deepEqual((await namesOf(page)).sort(), ["1", ...names(files.slice(0, 2))]);
    await leaves(page, 0);
    // The browser would show the file instead of the page.
    assert.ok(await dispatch(page, "dragover", [files[2]]), "the page keeps what is dropped");
    assert.equal(await page.getByText("Drop the pictures to upload them").count(), 0);
    assert.ok(await dispatch(page, "drop", [files[2]]), "the page keeps what is dropped");
    await dispatch(page, "paste", [files[2]]);
    await summaryIs(page, "2 of 3 uploaded, 1 failed");
    assert.equal(requests.filter((request) => request.startsWith("POST ")).length, 2);
    assert.equal(await addedTo(service, user, share), 2);
    await page.reload();
    await leaves(page, 0);
  },

  async "Pictures that are still being sent count, unless they are cancelled"(world, visit) {
    const { service, user, share, page } = await openShared(world, visit, [], { max_guest_images: 3 });
    const files = pictures(5);
    const release = await hold(visit, FORMS);
    await choose(page, files.slice(0, 2));
    await leaves(page, 1);
    await dispatch(page, "drop", files.slice(2));
    await leaves(page, 0);
    // A picture that is not sent leaves its place to another one.
    await rowOf(page, files[2]).getByRole("progressbar").waitFor();
    await page.getByRole("button", { name: `Cancel ${files[2].name}` }).click();
    await rowOf(page, files[3]).getByRole("progressbar").waitFor();
    release();
    await summaryIs(page, "3 of 4 uploaded, 1 failed");
    await rowOf(page, files[4]).getByText(FULL).waitFor();
    await leaves(page, 0);
    assert.equal(await addedTo(service, user, share), 3);
  },

  async "Files that are no pictures leave the places to those that are"(world, visit) {
    const { service, user, share, page } = await openShared(world, visit, ["1"], { max_guest_images: 2 });
    const [first, second, third] = pictures(3);
    const texts = ["a.jpg", "b.jpg", "c.jpg"].map(textFile);
    await choose(page, [...texts, first, second, third]);
    await areUploaded(page, [first, second]);
    await rowOf(page, third).getByText(FULL).waitFor();
    for (const text of texts) await rowOf(page, text).getByText("This is not a picture that the service accepts.").waitFor();
    assert.equal(await addedTo(service, user, share), 2);
  },

  async "Visitors learn whether everyone can see what they add, and the owner decides it"(world, visit) {
    const { service, user, name, page } = await openShared(world, visit, ["1"], { max_guest_images: 2 });
    await leaves(page, 2);
    await send(service, user, "PATCH", `collections/${name}`, { visibility: "public" });
    await page.reload();
    await says(page, "You can add 2 pictures: choose them, drop them here, or paste one. Everyone can see them.");
    const owner = await openGallery(await world.visit(), service, user, `app/collections/${name}`);
    const hint = owner.getByText("Everyone can see these pictures, because the collection is public.");
    for (const isPublic of [true, false]) {
      await owner.getByRole("button", { name: isPublic ? "Public" : "Private", exact: true }).click();
      await owner.getByRole("button", { name: "Share", exact: true }).click();
      await owner.getByRole("button", { name: "Another link" }).click();
      await owner.getByLabel("Pictures from visitors").waitFor();
      assert.equal(await hint.count(), isPublic ? 1 : 0);
      await owner.keyboard.press("Escape");
    }
  },

  async "A file that is rejected says why, and leaves its place to another one"(world, visit) {
    const { service, user, share, page } = await openShared(world, visit, ["1"], { max_guest_images: 1 });
    const [file] = pictures(1);
    await choose(page, [textFile("notes.jpg")]);
    await rowOf(page, { name: "notes.jpg" }).getByText("This is not a picture that the service accepts.").waitFor();
    await leaves(page, 1);
    const broken = { ...file, name: "broken.png", buffer: landscape(400, 300, 3).subarray(0, 1500) };
    visit.expect(/400/);
    await choose(page, [broken]);
    await rowOf(page, broken).locator(".error").waitFor();
    await leaves(page, 1);
    await choose(page, [file]);
    await areUploaded(page, [file]);
    await summaryIs(page, "1 of 3 uploaded, 2 failed");
    assert.equal(await addedTo(service, user, share), 1);
    await page.getByRole("button", { name: "Close the list of uploads" }).click();
    await panelOf(page).waitFor({ state: "detached" });
  },

  async "A picture whose response is lost is sent again, and counts once"(world, visit) {
    visit.expect(/Failed to load resource/);
    const { service, user, share, page } = await openShared(world, visit, ["1"], { max_guest_images: 3 });
    const { proxy, service: proxied } = await unreliable(service, visit);
    const [file] = pictures(1);
    proxy.loseResponseTo("POST", "idempotency-key:");
    await visit.context.route(FORMS, (route) => route.continue({ url: `${proxied.publicUrl}/${share.path}/images` }), { times: 1 });
    await choose(page, [file]);
    await areUploaded(page, [file]);
    assert.ok(proxy.isDone, "the response was lost");
    await showsPictures(page, ["1", file.name]);
    await leaves(page, 2);
    assert.equal(await addedTo(service, user, share), 1);
  },

  async "A picture that fails after several attempts can be retried, and counts once"(world, visit) {
    visit.expect(/ERR_FAILED/);
    await visit.context.clock.install();
    const { service, user, share, page } = await openShared(world, visit, ["1"], { max_guest_images: 1 });
    const [file] = pictures(1);
    await visit.context.route(FORMS, (route) => route.abort());
    await choose(page, [file]);
    const retry = page.getByRole("button", { name: `Retry ${file.name}` });
    while (!(await retry.isVisible())) await page.clock.runFor(1000);
    await visit.context.unrouteAll();
    await retry.click();
    await areUploaded(page, [file]);
    await leaves(page, 0);
    assert.equal(await addedTo(service, user, share), 1);
  },

  async "The page says when others have added all pictures that are permitted"(world, visit) {
    const { service, user, share, page } = await openShared(world, visit, ["1"], { max_guest_images: 1 });
    const [others, own] = pictures(2);
    const other = await (await world.visit()).open(service, share.path);
    await choose(other, [others]);
    await areUploaded(other, [others]);
    visit.expect(/403/);
    await choose(page, [own]);
    await rowOf(page, own).getByText("Visitors of this share can add 1 image in total, and have done so.").waitFor();
    await leaves(page, 0);
    assert.equal(await addedTo(service, user, share), 1);
  },

  async "The owner can permit no pictures, or more of them"(world, visit) {
    const { service, user, share, page } = await openShared(world, visit, ["1"], { max_guest_images: 1 });
    await leaves(page, 1);
    await send(service, user, "PATCH", `shares/${share.id}`, { max_guest_images: null });
    await page.reload();
    await showsPictures(page, ["1"]);
    await says(page, null);
    await send(service, user, "PATCH", `shares/${share.id}`, { max_guest_images: 4 });
    await page.reload();
    await leaves(page, 4);
  },

  async "A share that is deleted while its page is open says so"(world, visit) {
    const { service, user, share, page } = await openShared(world, visit, ["1"], { max_guest_images: 5 });
    await showsPictures(page, ["1"]);
    await send(service, user, "DELETE", `shares/${share.id}`);
    visit.expect(/404/);
    const [file] = pictures(1);
    await choose(page, [file]);
    const error = rowOf(page, file).locator(".error");
    await error.waitFor();
    assert.match(await error.innerText(), /share|link/);
    await leaves(page, 0);
    assert.equal((await send(service, user, "GET", `images?user_id=${user.id}`)).total_count, 1);
    expectRefusal(visit, share.path, 404);
    await page.reload();
    await page.getByRole("heading", { name: "Not found" }).waitFor();
  },
};
