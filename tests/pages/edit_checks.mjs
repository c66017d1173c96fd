// Checks of changing pictures: what their owners can change, and what the gallery and the viewer show then.

import { strict as assert } from "node:assert";

import { detailsOf, formOf, openForm, openOwn, pictureIsLoaded, showsDetails, storedFields, valuesOf } from "./edit_page.mjs";
import { createUser, openGallery, sharedPictures, showsPictures, tileOf, until, uploadSmall } from "./gallery_page.mjs";
import { tabTo } from "./keyboard.mjs";
import { showsPicture } from "./viewer_checks.mjs";

async function closeViewer(page) {
  await page.getByRole("button", { name: "Close" }).click();
  await page.locator(".viewer").waitFor({ state: "detached" });
}

export const checks = {
  async "A picture is changed with the mouse"(world, visit) {
    const { service, user, page, image } = await openOwn(world, visit, ["Other", "Before"], { tags: "sea" });
    const form = await openForm(page);
    assert.deepEqual(await valuesOf(form), ["Before", "", "sea", "public"]);
    await form.title.fill("  After ");
    await form.description.fill("Two\nlines");
    await form.tags.fill("sunset, deep blue,");
    await form.visibility.selectOption("private");
    await form.save.click();
    await detailsOf(page).getByRole("heading", { name: "After", exact: true }).waitFor();
    await detailsOf(page).getByText("Private: only its owner can see it").waitFor();
    assert.deepEqual(await storedFields(service, user, image), ["After", "Two\nlines", "deep blue,sunset", "private"]);
    assert.equal(await detailsOf(page).getByText("Two").innerText(), "Two\nlines", "the details have its lines");
    assert.equal(await detailsOf(page).getByText("Two").evaluate((text) => getComputedStyle(text).whiteSpaceCollapse), "preserve-breaks");
    await closeViewer(page);
    await showsPictures(page, ["After (private)", "Other"]);
    assert.equal(await page.locator(".tile .badge").count(), 1, "one picture has the badge of private ones");
    await tileOf(page, image).click();
    await showsDetails(page, image);
    await openForm(page);
    for (const field of [form.title, form.description, form.tags]) await field.fill("");
    await form.save.click();
    await detailsOf(page).getByRole("heading", { name: "small.png" }).waitFor();
    assert.deepEqual(await storedFields(service, user, image), [null, null, "", "private"], "emptied fields are removed");
  },

  async "A picture is changed with the keyboard alone"(world, visit) {
    const { service, user, page, image } = await openOwn(world, visit, ["Other", "Before"], { tags: "sea" });
    await tabTo(page.locator(".viewer .details .chip"));
    await page.keyboard.press("Enter");
    await formOf(page).title.waitFor();
    await tabTo(page.locator("[name=title]"));
    await page.keyboard.press("Control+a");
    await page.keyboard.type("After");
    await tabTo(page.locator("[name=description]"));
    await page.keyboard.type("Two");
    await page.keyboard.press("Enter");
    await page.keyboard.type("lines");
    await tabTo(page.locator("[name=tags]"));
    await page.keyboard.press("End");
    await page.keyboard.type(", sunset");
    await tabTo(page.locator("[name=visibility]"));
    await page.keyboard.press("ArrowDown");
    await tabTo(page.locator("button[type=submit]"));
    await page.keyboard.press("Space");
    await detailsOf(page).getByRole("heading", { name: "After", exact: true }).waitFor();
    assert.deepEqual(await storedFields(service, user, image), ["After", "Two\nlines", "sea,sunset", "private"]);
    await page.keyboard.press("Escape");
    await page.locator(".viewer").waitFor({ state: "detached" });
    await showsPictures(page, ["After (private)", "Other"]);
  },

  async "A picture that becomes private stays visible to its owner"(world, visit) {
    const { page, image } = await openOwn(world, visit, ["Other", "Mine"]);
    await pictureIsLoaded(page, image.image_id);
    const before = await page.locator(".tile img").first().getAttribute("src");
    const form = await openForm(page);
    await form.visibility.selectOption("private");
    await form.save.click();
    await detailsOf(page).getByText("Private: only its owner can see it").waitFor();
    await until(page, "the gallery has the new URL", (before) => document.querySelector(".tile img").getAttribute("src") !== before, before);
    await pictureIsLoaded(page, image.image_id);
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowLeft");
    await showsPicture(page, image.image_id);
    await pictureIsLoaded(page, image.image_id);
    await closeViewer(page);
    await showsPictures(page, ["Mine (private)", "Other"]);
    await until(page, "the gallery shows it", () => document.querySelector(".tile img").naturalWidth > 0);
  },

  async "A picture that the gallery does not contain stays visible when it becomes private"(world, visit) {
    const service = await world.trusted();
    const user = createUser(service);
    const [image] = await uploadSmall(service, user, ["Mine"]);
    const page = await openGallery(visit, service, user, `app/images/${image.image_id}?tags=nothing`);
    await showsDetails(page, image);
    const form = await openForm(page);
    await form.visibility.selectOption("private");
    const requests = [];
    visit.context.on("response", (response) => response.url().includes("/thumbnail?") && requests.push(response.status()));
    await form.save.click();
    await detailsOf(page).getByText("Private: only its owner can see it").waitFor();
    await pictureIsLoaded(page, image.image_id);
    await page.reload();
    await showsPicture(page, image.image_id);
    await pictureIsLoaded(page, image.image_id);
    assert.ok(requests.every((status) => status < 400), requests.join());
  },

  async "Editing is not offered for the pictures of others"(world, visit) {
    const service = await world.trusted();
    const { images } = await sharedPictures(service);
    const page = await openGallery(visit, service, createUser(service), `app/images/${images[0].image_id}`);
    await showsDetails(page, images[0]);
    assert.equal(await detailsOf(page).getByRole("button", { name: "Edit" }).count(), 0);
  },
};
