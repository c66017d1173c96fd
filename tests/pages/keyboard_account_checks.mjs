// Checks of the account and the administration with the keyboard alone. Each starts with the gallery, signed out.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";

import { hasFocus } from "./account_page.mjs";
import { createUser } from "./gallery_page.mjs";
import { chooseOption, pressOn, tabTo, typeInto } from "./keyboard.mjs";

/** Opens the gallery, signs in, and follows a link in the menu of the account. */
async function openAs(visit, service, { email, password }, link) {
  const page = await visit.open(service, "app/");
  await pressOn(page.getByRole("banner").getByRole("button", { name: "Sign in" }));
  await typeInto(page.getByLabel("E-mail address"), email);
  await typeInto(page.getByLabel("Password"), password);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await pressOn(page.locator("summary[aria-label^='Account of']"));
  await pressOn(page.getByRole("link", { name: link, exact: true }));
  return page;
}

function button(parent, name) {
  return parent.getByRole("button", { name, exact: true });
}

function rowOf(page, name) {
  return page.getByRole("table").locator("tbody tr").filter({ hasText: name });
}

export const checks = {
  async "The keyboard alone ends one session, and then all others"(world, visit) {
    const service = await world.required();
    const account = await createUser(service);
    const { email, password } = account;
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ email, password }) };
    for (let device = 0; device < 3; device++) assert.equal((await fetch(`${service.url}/token`, options)).status, 201);
    const page = await openAs(visit, service, account, "Account");
    const rows = page.getByRole("table", { name: "Sessions" }).locator("tbody tr");
    await rows.nth(3).waitFor();
    await pressOn(rows.getByRole("button", { name: /^End: / }).first());
    await page.getByText("1 session ended.").waitFor();
    await hasFocus(page.getByRole("heading", { name: "Sessions" }));
    await pressOn(button(page, "End all others"));
    await page.getByText("2 sessions ended.").waitFor();
    assert.equal(await rows.count(), 1);
    await rows.getByText("This session").waitFor();
  },

  async "The keyboard alone gives an account another plan, and makes it an administrator"(world, visit) {
    const service = await world.required();
    const account = await createUser(service);
    const page = await openAs(visit, service, service.administrator, "Administration");
    await pressOn(button(page, `Change: ${account.email}`));
    const dialog = page.getByRole("dialog");
    await chooseOption(dialog.getByRole("combobox", { name: "Plan" }), "Premium");
    await pressOn(dialog.getByRole("checkbox", { name: /^Administrator/ }), "Space");
    await pressOn(button(dialog, "Save"));
    await dialog.waitFor({ state: "detached" });
    for (const text of ["Premium", "Administrator"]) await rowOf(page, account.email).getByText(text).waitFor();
    await hasFocus(button(page, `Change: ${account.email}`));
  },

  async "The keyboard alone creates, changes and deletes a plan, and reads the audit trail"(world, visit) {
    const service = await world.required();
    const name = `Keys-${randomUUID().slice(0, 8)}`;
    const page = await openAs(visit, service, service.administrator, "Administration");
    await pressOn(page.getByRole("link", { name: "Plans" }));
    const dialog = page.getByRole("dialog");
    await pressOn(button(page, "New plan"));
    await typeInto(dialog.getByLabel("Name"), name);
    await pressOn(dialog.getByRole("checkbox", { name: /^Downloads of originals/ }), "Space");
    await pressOn(button(dialog, "Create the plan"));
    await rowOf(page, name).getByText("Downloads of originals").waitFor();
    await pressOn(button(page, `Change: ${name}`));
    await typeInto(dialog.getByLabel("Most pictures"), "5");
    await pressOn(button(dialog, "Save"));
    await rowOf(page, name).getByText("5 pictures").waitFor();
    await pressOn(button(page, `Delete: ${name}`));
    await pressOn(button(dialog, "Delete"));
    await rowOf(page, name).waitFor({ state: "detached" });
    await tabTo(page.getByRole("link", { name: "Audit trail" }));
    await page.keyboard.press("Enter");
    await rowOf(page, name).filter({ hasText: "plan deleted" }).waitFor();
    assert.ok((await rowOf(page, name).count()) >= 3, "each change is in the audit trail");
  },
};
