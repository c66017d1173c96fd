// Chromium, as the measurements use it.

import { pathToFileURL } from "node:url";

/** Opens Chromium, runs an action with it, and closes it. `tools`: a `require` that finds Lighthouse and its puppeteer-core. */
export async function withBrowser(tools, action) {
  const { default: puppeteer } = await import(pathToFileURL(tools.resolve("puppeteer-core")).href);
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--no-proxy-server", "--disable-gpu", "--disable-dev-shm-usage", "--enable-precise-memory-info"],
  });
  try {
    return await action(browser);
  } finally {
    await browser.close();
  }
}

/** Logs in to an account, as when the gallery was used before. The cookies stay in the browser. */
export async function logIn(browser, service, { email, password }) {
  const page = await browser.newPage();
  await page.goto(`${service.url}/app/`);
  const status = await page.evaluate(async (body) => {
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body };
    const session = await (await fetch("session/start", options)).json();
    return (await fetch("pass", { method: "POST", headers: { Authorization: `Bearer ${session.access}` } })).status;
  }, JSON.stringify({ email, password }));
  if (status !== 204) throw new Error(`the login failed: ${status}`);
  await page.close();
}
