// The form for the owner of a picture, as its visitors use it.

import { createUser, openGallery, tileOf, until, uploadSmall } from "./gallery_page.mjs";
import { showsPicture } from "./viewer_checks.mjs";

/** Uploads pictures with these titles and fields for a new user, and opens the last one in the viewer, with its details. */
export async function openOwn(world, visit, titles, fields = {}) {
  const service = await world.trusted();
  const user = createUser(service);
  const images = await uploadSmall(service, user, titles, fields);
  const image = images.at(-1);
  const page = await openGallery(visit, service, user);
  await tileOf(page, image).click();
  await showsDetails(page, image);
  return { service, user, page, image };
}

/** Waits until the viewer shows a picture, and opens its details. */
export async function showsDetails(page, { image_id: id }) {
  await showsPicture(page, id);
  await page.keyboard.press("i");
  await detailsOf(page).getByRole("heading").waitFor();
}

export function detailsOf(page) {
  return page.locator(".viewer .details");
}

/** Opens the form. Returns its fields and buttons. */
export async function openForm(page) {
  await detailsOf(page).getByRole("button", { name: "Edit" }).click();
  const form = formOf(page);
  await form.title.waitFor();
  return form;
}

export function formOf(page) {
  const form = detailsOf(page).locator("form");
  return {
    form,
    title: form.getByLabel("Title"),
    description: form.getByLabel("Description"),
    tags: form.getByLabel("Tags, separated by commas"),
    visibility: form.getByLabel("Who can see it"),
    save: form.getByRole("button", { name: "Save" }),
  };
}

/** Returns what the form has in its fields. */
export async function valuesOf(form) {
  const fields = [form.title, form.description, form.tags, form.visibility];
  return Promise.all(fields.map((field) => field.inputValue()));
}

/** Waits until the picture in the viewer is loaded. */
export async function pictureIsLoaded(page, id) {
  const isLoaded = (id) => {
    const images = [...document.querySelectorAll(".slide[aria-hidden=false] img.full")];
    return images.length > 0 && images.every(({ src, complete, naturalWidth }) => src.includes(id) && complete && naturalWidth > 0);
  };
  await until(page, "the picture is loaded", isLoaded, id);
}

/** What the API says about a picture that can be changed: title, description, tags, visibility. */
export async function storedFields(service, user, { image_id: id }) {
  const { body } = await service.get(`/images/${id}`, user.id);
  return [body.title, body.description, body.tags.toSorted().join(), body.visibility];
}
