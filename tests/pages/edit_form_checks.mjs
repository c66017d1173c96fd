// Checks of the form with which owners change their pictures: what it keeps, its keys, and its focus.

import { strict as assert } from "node:assert";

import { assertAccessible } from "./accessibility.mjs";
import { detailsOf, formOf, openForm, openOwn, storedFields, valuesOf } from "./edit_page.mjs";
import { until } from "./gallery_page.mjs";
import { showsPicture } from "./viewer_checks.mjs";

/** Asserts that a rule of the service for tags stands next to them, and that what was typed is still there. */
async function assertTagsRefused(page, tags, rule) {
  const form = formOf(page);
  const values = ["A title that stays", "And a description.", tags, "private"];
  await form.title.fill(values[0]);
  await form.description.fill(values[1]);
  await form.tags.fill(values[2]);
  await form.visibility.selectOption(values[3]);
  await form.save.click();
  await form.form.locator("label", { has: page.locator("[name=tags]") }).getByText(rule).waitFor();
  assert.deepEqual(await valuesOf(form), values, "what was typed is lost");
}

export const checks = {
  async "Broken rules stand next to their fields, and nothing is lost"(world, visit) {
    visit.expect(/422/);
    const { service, user, page, image } = await openOwn(world, visit, ["Before"]);
    const form = await openForm(page);
    await assertTagsRefused(page, "good, bad!", "each tag must contain only letters");
    await assertTagsRefused(page, "a, b, c, d, e, f, g, h, i, j, k", "must have at most 10 tags");
    assert.deepEqual(await storedFields(service, user, image), ["Before", null, "", "public"], "nothing is saved");
    await form.tags.fill("good");
    await form.save.click();
    await detailsOf(page).getByRole("heading", { name: "A title that stays" }).waitFor();
    assert.deepEqual(await storedFields(service, user, image), ["A title that stays", "And a description.", "good", "private"]);
  },

  async "What was typed is kept if saving fails, and can be saved later"(world, visit) {
    visit.expect(/Failed to load resource/);
    const { service, user, page, image } = await openOwn(world, visit, ["Before"]);
    const form = await openForm(page);
    await visit.context.route("**/images/*", (route) => route.abort(), { times: 1 });
    await form.title.fill("After");
    await form.save.click();
    await form.form.getByText("The service cannot be reached.").waitFor();
    assert.equal(await form.title.inputValue(), "After");
    await form.save.click();
    await detailsOf(page).getByRole("heading", { name: "After", exact: true }).waitFor();
    assert.deepEqual(await storedFields(service, user, image), ["After", null, "", "public"]);
  },

  async "Keys in a field do not reach the viewer, and Esc leaves the form only"(world, visit) {
    const { service, user, page, image } = await openOwn(world, visit, ["Other", "Middle", "Mine"]);
    const form = await openForm(page);
    await form.title.focus();
    for (const key of ["End", "ArrowLeft", "ArrowRight", "ArrowRight", "Delete", "i", "Home", "z"]) await page.keyboard.press(key);
    assert.equal(await form.title.inputValue(), "zMinei");
    await form.visibility.focus();
    for (const key of ["ArrowDown", "ArrowRight", "Delete"]) await page.keyboard.press(key);
    await page.keyboard.press("Escape");
    await form.form.waitFor({ state: "detached" });
    await detailsOf(page).getByRole("heading", { name: "Mine", exact: true }).waitFor();
    await showsPicture(page, image.image_id);
    assert.deepEqual(await storedFields(service, user, image), ["Mine", null, "", "public"]);
  },

  async "Esc right after Edit leaves the form only, each time"(world, visit) {
    const { page, image } = await openOwn(world, visit, ["Mine"]);
    for (const time of ["first", "second"]) {
      await openForm(page);
      // Browsers focus fields with `autofocus` in the next frame.
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
      await page.keyboard.press("Escape");
      const heading = detailsOf(page).getByRole("heading", { name: "Mine" });
      await heading.waitFor().catch(() => assert.fail(`the ${time} time, the picture is closed`));
      assert.ok(page.url().includes(image.image_id));
    }
  },

  async "The form takes the focus, and gives it back"(world, visit) {
    const { page } = await openOwn(world, visit, ["Mine"]);
    const edit = detailsOf(page).getByRole("button", { name: "Edit" });
    const hasFocus = (locator) => locator.evaluate((element) => element === document.activeElement);
    const lost = [];
    const note = async (what, locator) => (await hasFocus(locator)) || lost.push(what);
    const { title, save } = await openForm(page);
    await until(page, "the title has the focus", () => document.activeElement.name === "title");
    await title.press("Escape");
    await edit.waitFor();
    await note("from the title to Edit", edit);
    await openForm(page);
    await note("from Edit to the title again", title);
    await save.click();
    await edit.waitFor();
    await note("from Save to Edit", edit);
    assert.deepEqual(lost, [], "the focus is lost");
  },

  async "The mouse wheel scrolls the form if it is higher than the page"(world) {
    const visit = await world.visit({ viewport: { width: 1000, height: 400 } });
    const { page } = await openOwn(world, visit, ["Mine"]);
    const { form, save } = await openForm(page);
    await form.hover({ position: { x: 20, y: 20 } });
    const isVisible = () => {
      const { bottom } = document.querySelector(".viewer .details [type=submit]").getBoundingClientRect();
      return bottom <= innerHeight;
    };
    assert.ok(!(await page.evaluate(isVisible)), "the form is higher than the page");
    await page.mouse.wheel(0, 1000);
    await until(page, "Save is visible", isVisible);
    await save.click();
    await form.waitFor({ state: "detached" });
  },

  async "The form has no serious barriers"(world) {
    const visit = await world.visit({ reducedMotion: "reduce" });
    visit.expect(/422/);
    const { page } = await openOwn(world, visit, ["First"], { tags: "sea" });
    const form = await openForm(page);
    await form.tags.fill("sea!");
    await form.save.click();
    await form.form.getByText("each tag must contain only").first().waitFor();
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await assertAccessible(world, page);
    }
  },
};
