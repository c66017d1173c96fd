// Checks of the page of an account: plan, password, API keys and sessions.

import { strict as assert } from "node:assert";

import { createPlan, hasFocus, openAccount, openAs } from "./account_page.mjs";
import { createUser, fillSignIn, openGallery, showsPictures, signOut, uploadSmall } from "./gallery_page.mjs";
import { tabTo } from "./keyboard.mjs";

const NEW_PASSWORD = "another password for tests";

async function open(world, visit, options) {
  const service = await world.required();
  return { service, ...(await openAccount(visit, service, options)) };
}

/** Returns the status of a request of an account or an API key. */
async function statusOf(service, headers, path = "accounts/me") {
  return (await fetch(`${service.url}/${path}`, { headers })).status;
}

/** Logs in, as on another device. */
async function logIn(service, { email, password }) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(`${service.url}/token`, { method: "POST", headers, body: JSON.stringify({ email, password }) });
  assert.equal(response.status, 201);
  return { Authorization: `Bearer ${(await response.json()).access}` };
}

function passwordForm(page) {
  const submit = () => page.getByRole("button", { name: "Change the password" }).click();
  const [current, next] = [page.getByLabel("Current password"), page.getByLabel("New password")];
  const send = async (one, other) => {
    await current.fill(one);
    await next.fill(other);
    await submit();
  };
  return { current, next, send };
}

function rowsOf(page, title) {
  return page.getByRole("table", { name: title }).locator("tbody tr");
}

/** Waits for a text next to a field, which has the focus. */
async function showsRule(page, field, text) {
  await page.getByText(text).waitFor();
  await hasFocus(field);
  const note = await field.getAttribute("aria-describedby");
  assert.ok((await page.locator(`#${note}`).textContent()).includes(text), "the rule describes the field");
}

export const checks = {
  async "The account page says what the plan includes, and what is used"(world, visit) {
    const service = await world.required();
    const plan = await createPlan(service, { max_images: 5000, original: true, expiring_links: true, thumbnails: ["small", "200"] });
    const account = await service.createAccount({ plan });
    await uploadSmall(service, account, ["One", "Two"]);
    const page = await visit.open(service, "app/");
    await page.getByRole("banner").getByRole("button", { name: "Sign in" }).click();
    await fillSignIn(page, account);
    await page.locator("summary[aria-label^='Account of']").click();
    assert.equal(await page.getByRole("link", { name: "Administration" }).count(), 0);
    await page.getByRole("link", { name: "Account" }).click();
    await page.getByRole("heading", { name: `Plan ${plan}` }).waitFor();
    assert.equal(await page.title(), "Account – Pictures");
    await hasFocus(page.getByRole("heading", { name: "Account", exact: true }));
    assert.equal(await page.locator("details[open]").count(), 0, "the menu is closed");
    const main = page.getByRole("main");
    for (const text of [account.email, account.id, "Thumbnails: small, 200", "Downloads of originals", "Sharing by link", "2 of 5,000 pictures", "no limit"]) {
      await main.getByText(text).waitFor();
    }
    assert.equal(await main.getByText("Imports").count(), 0);
    const meter = main.getByRole("meter", { name: "Pictures" });
    assert.deepEqual(await meter.evaluate(({ value, max }) => [value, max]), [2, 5000]);
    await page.goBack();
    await showsPictures(page, ["Two", "One"]);
  },

  async "The account page changes the password, and says what is wrong with another"(world, visit) {
    visit.expect(/422/);
    const { service, account, page } = await open(world, visit);
    const elsewhere = await logIn(service, account);
    const { current, next, send } = passwordForm(page);
    await send("not the password", NEW_PASSWORD);
    await showsRule(page, current, "Current password is not the password of this account.");
    await send(account.password, "passwordpassword");
    await showsRule(page, next, "New password is too easy to guess; use several unrelated words.");
    assert.equal(await current.inputValue(), account.password, "what was typed stays");
    await send(account.password, NEW_PASSWORD);
    await page.getByText("Password changed.").waitFor();
    assert.equal(await current.inputValue(), "");
    assert.equal(await statusOf(service, elsewhere), 401, "other sessions have ended");
    await rowsOf(page, "Sessions").getByText("This session").waitFor();
    assert.equal(await rowsOf(page, "Sessions").count(), 1);
    await page.reload();
    await page.getByRole("heading", { name: "Sessions" }).waitFor();
    await signOut(page);
    await page.getByText("Sign in to see this page.").waitFor();
    await page.getByRole("main").getByRole("button", { name: "Sign in" }).click();
    await fillSignIn(page, { ...account, password: NEW_PASSWORD });
    await page.getByRole("heading", { name: "Sessions" }).waitFor();
  },

  async "The account page changes the password with the keyboard alone"(world, visit) {
    visit.expect(/422/);
    const { account, page } = await open(world, visit);
    await tabTo(page.getByRole("textbox", { name: "Current password", exact: true }));
    await page.keyboard.type("not the password");
    await page.keyboard.press("Tab");
    await page.keyboard.type(NEW_PASSWORD);
    await page.keyboard.press("Enter");
    await showsRule(page, page.getByLabel("Current password"), "Current password is not the password of this account.");
    await page.keyboard.press("Control+a");
    await page.keyboard.type(account.password);
    await page.keyboard.press("Enter");
    await page.getByText("Password changed.").waitFor();
  },

  async "The account page creates an API key, shows it once, and deletes it"(world, visit) {
    const { service, page } = await open(world, visit);
    await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByText("No API keys yet.").waitFor();
    await page.getByRole("button", { name: "New API key" }).click();
    const dialog = page.getByRole("dialog", { name: "New API key" });
    await hasFocus(dialog.getByLabel("Description"));
    const scope = (name) => dialog.getByRole("checkbox", { name });
    for (const name of [/^Read/, /^Upload/]) await scope(name).uncheck();
    await dialog.getByRole("button", { name: "Create the key" }).click();
    await dialog.getByText("Permissions must include at least one.").waitFor();
    assert.equal(await scope(/^Administer/).count(), 0, "this is for administrators");
    await scope(/^Read/).check();
    await dialog.getByLabel("Description").fill("A backup");
    await dialog.getByLabel("Expires").selectOption("After 30 days");
    await dialog.getByRole("button", { name: "Create the key" }).click();
    const secret = page.getByRole("region", { name: "New key: A backup" });
    await hasFocus(secret);
    const key = await secret.locator("pre").first().textContent();
    assert.match(key, /^isk_/);
    assert.equal(await secret.locator("pre").last().textContent(), `curl -H 'Authorization: Bearer ${key}' ${service.publicUrl}/images`);
    await secret.getByRole("button", { name: "Copy the key" }).click();
    await page.getByText("Copied.").waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), key);
    assert.equal(await statusOf(service, { "X-API-Key": key }, "images"), 200);
    await page.reload();
    const row = rowsOf(page, "API keys").filter({ hasText: "A backup" });
    await row.getByText("Read", { exact: true }).waitFor();
    assert.ok(!(await page.content()).includes(key), "the key is not shown again");
    await row.getByRole("button", { name: "Delete: A backup" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await hasFocus(row.getByRole("button"));
    await row.getByRole("button").click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("A backup deleted.").waitFor();
    await hasFocus(page.getByRole("heading", { name: "API keys" }));
    await page.getByText("No API keys yet.").waitFor();
    assert.equal(await statusOf(service, { "X-API-Key": key }, "images"), 401);
  },

  async "The account page creates and deletes an API key with the keyboard alone"(world, visit) {
    const { page } = await open(world, visit);
    await tabTo(page.getByRole("button", { name: "New API key", exact: true }));
    await page.keyboard.press("Enter");
    await page.keyboard.type("Of the keyboard");
    await page.keyboard.press("Enter");
    await hasFocus(page.getByRole("region", { name: "New key: Of the keyboard" }));
    await tabTo(page.getByRole("button", { name: "Copy the command", exact: true }));
    await page.keyboard.press("Escape");
    await page.getByRole("heading", { name: "Account", exact: true }).focus();
    await tabTo(page.getByRole("button", { name: "Delete: Of the keyboard", exact: true }));
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await hasFocus(page.getByRole("button", { name: "Delete: Of the keyboard" }));
    await page.keyboard.press("Enter");
    await tabTo(page.getByRole("button", { name: "Delete", exact: true }));
    await page.keyboard.press("Enter");
    await hasFocus(page.getByRole("heading", { name: "API keys" }));
    assert.equal(await page.getByRole("region", { name: "New key: Of the keyboard" }).count(), 0, "a deleted key is no longer shown");
  },

  async "The account page ends sessions"(world, visit) {
    const { service, account, page } = await open(world, visit);
    const others = [await logIn(service, account), await logIn(service, account), await logIn(service, account)];
    await page.reload();
    const rows = rowsOf(page, "Sessions");
    await rows.nth(3).waitFor();
    await rows.first().getByRole("button", { name: /^End: / }).click();
    await page.getByText("1 session ended.").waitFor();
    await hasFocus(page.getByRole("heading", { name: "Sessions" }));
    assert.equal(await rows.count(), 3);
    assert.equal(await statusOf(service, others[2]), 401);
    await page.getByRole("button", { name: "End all others" }).click();
    await page.getByText("2 sessions ended.").waitFor();
    assert.equal(await rows.count(), 1);
    assert.equal(await statusOf(service, others[0]), 401);
    await logIn(service, account);
    await page.reload();
    await tabTo(page.getByRole("button", { name: "End all", exact: true }));
    await page.keyboard.press("Enter");
    await page.getByText("Sign in to see this page.").waitFor();
    await page.reload();
    await page.getByText("Sign in to see this page.").waitFor();
  },

  async "A session that ends elsewhere keeps what was typed on the account page"(world, visit) {
    visit.expect(/401/);
    const { service, account, page } = await open(world, visit);
    await page.getByRole("button", { name: "New API key" }).click();
    const description = page.getByRole("dialog", { name: "New API key" }).getByLabel("Description");
    await description.fill("Typed before");
    await fetch(`${service.url}/accounts/me/sessions`, { method: "DELETE", headers: account.headers });
    await page.getByRole("button", { name: "Create the key" }).click();
    const signIn = page.getByRole("dialog", { name: "Sign in" });
    await signIn.getByText("Your session has expired.").waitFor();
    await signIn.getByLabel("E-mail address").fill(account.email);
    await signIn.getByLabel("Password").fill(account.password);
    await signIn.getByRole("button", { name: "Sign in" }).click();
    await signIn.waitFor({ state: "detached" });
    assert.equal(await description.inputValue(), "Typed before");
    await page.getByRole("button", { name: "Create the key" }).click();
    await page.getByRole("region", { name: "New key: Typed before" }).waitFor();
  },

  async "The account page can be loaded again after a failure"(world, visit) {
    visit.expect(/ERR_FAILED/);
    const service = await world.required();
    const account = await createUser(service);
    await visit.context.route("**/accounts/me", (route) => route.abort(), { times: 1 });
    const page = await openAs(visit, service, account, "app/account");
    await page.getByRole("alert").getByText("The service cannot be reached.").waitFor();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("heading", { name: "API keys" }).waitFor();
  },

  async "The account page of the next user shows nothing of the last"(world, visit) {
    const { service, account, page } = await open(world, visit);
    await page.getByRole("button", { name: "New API key" }).click();
    await page.getByLabel("Description").fill("Of the last user");
    await page.getByRole("button", { name: "Create the key" }).click();
    await page.getByRole("region", { name: "New key: Of the last user" }).waitFor();
    await signOut(page);
    const other = await createUser(service);
    await page.getByRole("main").getByRole("button", { name: "Sign in" }).click();
    await fillSignIn(page, other);
    await page.getByText("No API keys yet.").waitFor();
    const text = await page.getByRole("main").textContent();
    assert.ok(text.includes(other.email) && !text.includes(account.email) && !text.includes("Of the last user"), text);
  },

  async "Without accounts, the account page says that there are none"(world, visit) {
    const service = await world.trusted();
    const page = await openGallery(visit, service, createUser(service), "app/account");
    await page.getByText("This service has no accounts").waitFor();
    await page.locator("summary[aria-label^='Account of']").click();
    assert.equal(await page.getByRole("link", { name: /^Account|^Administration/ }).count(), 0);
    await page.goto(`${service.publicUrl}/app/admin/audit`);
    await page.getByText("This service has no accounts").waitFor();
  },
};
