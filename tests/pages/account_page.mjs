// The pages of accounts and of administrators, as their checks open them.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";

import { createUser, fillSignIn } from "./gallery_page.mjs";

/** Opens a page as an account that signs in on it, and waits until it has loaded. */
export async function openAs(visit, service, account, path) {
  const page = await visit.open(service, path);
  await page.getByRole("main").getByRole("button", { name: "Sign in" }).click();
  await fillSignIn(page, account);
  await page.getByRole("dialog").waitFor({ state: "detached" });
  return page;
}

/** Opens the page of a new account. Returns the account and the page. */
export async function openAccount(visit, service, { plan } = {}) {
  const account = plan ? await service.createAccount({ plan }) : await createUser(service);
  const page = await openAs(visit, service, account, "app/account");
  await page.getByRole("heading", { name: "Sessions" }).waitFor();
  return { account, page };
}

/** Opens one of the pages for administrators: `accounts`, `plans` or `audit`. */
export async function openAdministration(visit, world, name) {
  const service = await world.required();
  const page = await openAs(visit, service, service.administrator, `app/admin/${name}`);
  await page.getByRole("table").waitFor();
  return page;
}

/** Sends a request of the administrator. Returns the body of the response. */
export async function administer(service, method, path, body) {
  const { email, password } = service.administrator;
  const headers = { Authorization: `Basic ${Buffer.from(`${email}:${password}`).toString("base64")}`, "Content-Type": "application/json" };
  const response = await fetch(`${service.url}/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} /${path}: ${text}`);
  return text ? JSON.parse(text) : null;
}

/** Creates a plan. Returns its name. */
export async function createPlan(service, features) {
  const { name } = await administer(service, "POST", "plans", { name: `Plan-${randomUUID().slice(0, 8)}`, ...features });
  return name;
}

/** Waits until an element has the focus. */
export async function hasFocus(locator) {
  const handle = await locator.elementHandle();
  await locator.page().waitForFunction((element) => document.activeElement === element, handle);
}
