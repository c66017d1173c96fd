// Checks of the pages for administrators: accounts, plans and the audit trail.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";

import { administer, createPlan, hasFocus, openAdministration, openAs } from "./account_page.mjs";
import { createUser, fillSignIn, signOut, uploadSmall } from "./gallery_page.mjs";
import { tabTo } from "./keyboard.mjs";

const PASSWORD = "a password for tests";
const PAGE_SIZE = 50;

function rowOf(page, name) {
  return page.getByRole("table").locator("tbody tr").filter({ hasText: name });
}

/** Opens a dialog with a button, and returns it. */
async function openDialog(page, name) {
  await page.getByRole("button", { name, exact: true }).click();
  const dialog = page.getByRole("dialog", { name, exact: true });
  await dialog.waitFor();
  return dialog;
}

async function submit(dialog, name) {
  await dialog.getByRole("button", { name, exact: true }).click();
}

/** Waits until the dialog is closed, and the change was announced. */
async function isSaved(page, dialog) {
  await dialog.waitFor({ state: "detached" });
  await page.getByText("Saved.").first().waitFor();
}

export const checks = {
  async "The administration creates an account, and says what is wrong with another"(world, visit) {
    visit.expect(/422/);
    visit.expect(/409/);
    const page = await openAdministration(visit, world, "accounts");
    const service = await world.required();
    const taken = await createUser(service);
    const email = `${randomUUID()}@example.org`;
    const dialog = await openDialog(page, "New account");
    await dialog.getByLabel("E-mail address").fill(taken.email);
    await dialog.getByLabel("First password").fill("passwordpassword");
    await submit(dialog, "Create the account");
    await dialog.getByText("First password is too easy to guess").waitFor();
    await hasFocus(dialog.getByLabel("First password"));
    await dialog.getByLabel("First password").fill(PASSWORD);
    await submit(dialog, "Create the account");
    await dialog.getByText("An account with this e-mail address").waitFor();
    await hasFocus(dialog.getByLabel("E-mail address"));
    await dialog.getByLabel("E-mail address").fill(email);
    await dialog.getByRole("combobox", { name: "Plan" }).selectOption("Premium");
    await submit(dialog, "Create the account");
    await isSaved(page, dialog);
    await hasFocus(page.getByRole("button", { name: "New account" }));
    await rowOf(page, email).getByText("Premium").waitFor();
    await page.getByRole("link", { name: "Audit trail" }).click();
    await rowOf(page, email).getByText("account created").waitFor();
    await page.waitForURL(/\/app\/admin\/audit$/);
    assert.equal(await page.title(), "Audit trail – Pictures");
    await page.goBack();
    await rowOf(page, email).getByText("Active").waitFor();
  },

  async "The administration changes and deletes an account"(world, visit) {
    visit.expect(/409/);
    const service = await world.required();
    const account = await createUser(service);
    await uploadSmall(service, account, ["Kept"]);
    const page = await openAdministration(visit, world, "accounts");
    const row = rowOf(page, account.email);
    assert.equal(await row.getByRole("button", { name: /^Delete/ }).count(), 0, "only disabled accounts can be deleted");
    const change = await openDialog(page, `Change: ${account.email}`);
    await change.getByRole("combobox", { name: "Plan" }).selectOption("Basic");
    await change.getByRole("checkbox", { name: /^Administrator/ }).check();
    await submit(change, "Save");
    await isSaved(page, change);
    await hasFocus(row.getByRole("button", { name: /^Change/ }));
    await row.getByText("Administrator").waitFor();
    await row.getByText("Basic").waitFor();
    const again = await openDialog(page, `Change: ${account.email}`);
    assert.equal(await again.getByRole("combobox", { name: "Plan" }).inputValue(), "Basic");
    await again.getByRole("checkbox", { name: /^Administrator/ }).uncheck();
    await again.getByRole("checkbox", { name: /^Disabled/ }).check();
    await submit(again, "Save");
    await isSaved(page, again);
    const { entries } = await administer(service, "GET", "audit?limit=1");
    assert.deepEqual(entries[0].details, { admin: "false", disabled: "true" }, "only what was changed is sent");
    const deletion = await openDialog(page, `Delete: ${account.email}`);
    await submit(deletion, "Delete");
    await deletion.getByRole("alert").getByText("image").waitFor();
    await deletion.getByRole("checkbox", { name: /^Keep them/ }).check();
    await submit(deletion, "Delete");
    await page.getByText(`${account.email} deleted.`).waitFor();
    await hasFocus(page.getByRole("heading", { name: "Accounts" }));
    assert.equal(await row.count(), 0);
  },

  async "The keyboard alone creates, disables and deletes an account"(world, visit) {
    const page = await openAdministration(visit, world, "audit");
    const email = `${randomUUID()}@example.org`;
    await tabTo(page.getByRole("link", { name: "Accounts", exact: true }));
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/app\/admin\/accounts$/);
    await page.getByRole("button", { name: "New account" }).waitFor();
    await tabTo(page.getByRole("button", { name: "New account", exact: true }));
    await page.keyboard.press("Enter");
    await page.keyboard.type(email);
    await page.keyboard.press("Tab");
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press("Enter");
    await hasFocus(page.getByRole("button", { name: "New account" }));
    await tabTo(page.getByRole("button", { name: `Change: ${email}`, exact: true }));
    await page.keyboard.press("Enter");
    const disabled = page.getByRole("checkbox", { name: /^Disabled/ });
    await disabled.waitFor();
    for (let tabs = 0; tabs < 5 && !(await disabled.evaluate((box) => box === document.activeElement)); tabs++) await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    await page.keyboard.press("Enter");
    await hasFocus(page.getByRole("button", { name: `Change: ${email}` }));
    await tabTo(page.getByRole("button", { name: `Delete: ${email}`, exact: true }));
    await page.keyboard.press("Enter");
    await tabTo(page.getByRole("button", { name: "Delete", exact: true }));
    await page.keyboard.press("Enter");
    await hasFocus(page.getByRole("heading", { name: "Accounts" }));
    assert.equal(await rowOf(page, email).count(), 0);
  },

  async "Administrators cannot disable themselves"(world, visit) {
    const service = await world.required();
    const page = await openAdministration(visit, world, "accounts");
    while (await page.getByRole("button", { name: "Load more" }).count()) await page.getByRole("button", { name: "Load more" }).click();
    const dialog = await openDialog(page, `Change: ${service.administrator.email}`);
    await dialog.getByText("You cannot disable your own account").waitFor();
    assert.equal(await dialog.getByRole("checkbox").count(), 0);
  },

  async "The administration creates, changes and deletes a plan"(world, visit) {
    visit.expect(/422/);
    visit.expect(/409/);
    const page = await openAdministration(visit, world, "plans");
    const name = `Studio-${randomUUID().slice(0, 8)}`;
    const dialog = await openDialog(page, "New plan");
    const feature = (label) => dialog.getByRole("checkbox", { name: label });
    await dialog.getByLabel("Name").fill("Basic");
    await dialog.getByLabel("Thumbnails").fill("small, huge");
    await feature(/^Sharing by link/).check();
    await submit(dialog, "Create the plan");
    await dialog.locator("[aria-invalid]").first().waitFor();
    await hasFocus(dialog.getByLabel("Thumbnails"));
    await dialog.getByLabel("Thumbnails").fill("small, 300");
    await feature(/^Downloads of originals/).check();
    await submit(dialog, "Create the plan");
    await dialog.getByText("There is already a plan named").waitFor();
    await hasFocus(dialog.getByLabel("Name"));
    await dialog.getByLabel("Name").fill(name);
    await dialog.getByLabel("Most pictures").fill("0");
    await dialog.getByLabel("Most storage, in MB").fill("1.5");
    await submit(dialog, "Create the plan");
    await isSaved(page, dialog);
    const row = rowOf(page, name);
    for (const text of ["Thumbnails: small, 300", "Downloads of originals", "Sharing by link", "0 pictures, 1.5 MB"]) await row.getByText(text).waitFor();
    const change = await openDialog(page, `Change: ${name}`);
    assert.equal(await change.getByLabel("Most storage, in MB").inputValue(), "1.5");
    assert.equal(await change.getByLabel("Most pictures").inputValue(), "0");
    await change.getByLabel("Most pictures").fill("");
    await change.getByRole("checkbox", { name: /^Sharing by link/ }).uncheck();
    await submit(change, "Save");
    await isSaved(page, change);
    await row.getByText("Sharing by link").waitFor({ state: "detached" });
    const saved = await administer(await world.required(), "GET", `plans/${name}`);
    assert.deepEqual([saved.max_images, saved.max_bytes, saved.original, saved.expiring_links], [null, 1_500_000, true, false]);
    assert.equal(await rowOf(page, "Basic").getByRole("button", { name: /^Delete/ }).count(), 0, "built-in plans cannot be deleted");
    await submit(await openDialog(page, `Delete: ${name}`), "Delete");
    await hasFocus(page.getByRole("heading", { name: "Plans" }));
    assert.equal(await row.count(), 0);
  },

  async "The keyboard alone creates a plan, and leaves one that accounts have"(world, visit) {
    visit.expect(/409/);
    const service = await world.required();
    const used = await createPlan(service, {});
    await service.createAccount({ plan: used });
    const page = await openAdministration(visit, world, "plans");
    const name = `Keys-${randomUUID().slice(0, 8)}`;
    await tabTo(page.getByRole("button", { name: "New plan", exact: true }));
    await page.keyboard.press("Enter");
    await page.keyboard.type(name);
    await page.keyboard.press("Enter");
    await rowOf(page, name).waitFor();
    await tabTo(page.getByRole("button", { name: `Delete: ${used}`, exact: true }));
    await page.keyboard.press("Enter");
    await tabTo(page.getByRole("button", { name: "Delete", exact: true }));
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByRole("alert").getByText("account").waitFor();
    await page.keyboard.press("Escape");
    await hasFocus(page.getByRole("button", { name: `Delete: ${used}` }));
  },

  async "The audit trail is shown page by page"(world, visit) {
    visit.expect(/ERR_FAILED/);
    const service = await world.required();
    for (let entries = 0; entries < PAGE_SIZE; entries += 2) {
      await administer(service, "DELETE", `plans/${await createPlan(service, {})}`);
    }
    const page = await openAdministration(visit, world, "audit");
    const rows = page.locator("tbody tr");
    assert.equal(await rows.count(), PAGE_SIZE);
    await rows.first().getByText("plan deleted").waitFor();
    await rows.first().getByText(service.administrator.email).waitFor();
    await page.route("**/audit?*", (route) => route.abort(), { times: 1 });
    await page.getByRole("button", { name: "Load more" }).click();
    await page.getByRole("alert").getByText("The service cannot be reached.").waitFor();
    await tabTo(page.getByRole("button", { name: "Try again", exact: true }));
    await page.keyboard.press("Enter");
    await hasFocus(rows.nth(PAGE_SIZE));
    await rows.last().waitFor();
  },

  async "The pages for administrators show others nothing"(world, visit) {
    const service = await world.required();
    const account = await createUser(service);
    const requests = [];
    visit.context.on("request", (request) => requests.push(new URL(request.url()).pathname));
    const page = await openAs(visit, service, account, "app/admin/accounts");
    for (const name of ["accounts", "plans", "audit"]) {
      if (name !== "accounts") await page.goto(`${service.publicUrl}/app/admin/${name}`);
      await page.getByText("Only administrators can see this page.").waitFor();
      assert.equal(await page.getByRole("table").or(page.getByRole("navigation", { name: "Administration" })).count(), 0);
      assert.ok(!(await page.content()).includes(service.administrator.email));
    }
    assert.deepEqual(requests.filter((path) => /^\/(accounts|plans|audit)/.test(path)), [], "nothing is requested");
    for (const path of ["accounts", "audit"]) {
      assert.equal((await fetch(`${service.url}/${path}`, { headers: account.headers })).status, 403);
    }
  },

  async "Nothing of the administration stays for the next user"(world, visit) {
    const service = await world.required();
    const account = await createUser(service);
    const page = await openAdministration(visit, world, "accounts");
    await rowOf(page, account.email).waitFor();
    await signOut(page);
    await page.getByText("Sign in to see this page.").waitFor();
    assert.ok(!(await page.content()).includes(account.email), "signing out removes the accounts");
    await page.getByRole("main").getByRole("button", { name: "Sign in" }).click();
    await fillSignIn(page, account);
    await page.getByText("Only administrators can see this page.").waitFor();
    assert.ok(!(await page.content()).includes(service.administrator.email));
  },

  async "An administrator whose session has expired sees the page again after signing in"(world, visit) {
    visit.expect(/401/);
    const service = await world.required();
    const page = await openAdministration(visit, world, "accounts");
    await administer(service, "DELETE", "accounts/me/sessions");
    await page.getByRole("link", { name: "Plans" }).click();
    await page.getByText("Your session has expired.").waitFor();
    await fillSignIn(page, service.administrator);
    await rowOf(page, "Enterprise").waitFor();
    await page.getByRole("dialog").waitFor({ state: "detached" });
  },

  async "An administrator who was demoted is told so"(world, visit) {
    visit.expect(/403/);
    const service = await world.required();
    const account = { email: `${randomUUID()}@example.org`, password: PASSWORD };
    const { id } = await administer(service, "POST", "accounts", { ...account, admin: true });
    const page = await openAs(visit, service, account, "app/admin/plans");
    await rowOf(page, "Basic").waitFor();
    await administer(service, "PATCH", `accounts/${id}`, { admin: false });
    await page.getByRole("link", { name: "Accounts" }).click();
    await page.getByRole("alert").getByText("administrators").waitFor();
    assert.equal(await page.getByRole("table").count(), 0);
  },

  async "There are no other pages for administrators"(world, visit) {
    visit.expect(/404/);
    const service = await world.required();
    const page = await visit.open(service, "app/admin/accounts");
    const response = await page.goto(`${service.publicUrl}/app/admin/keys`);
    assert.equal(response.status(), 404);
    await page.getByText("There is no page at this address.").waitFor();
  },
};
