// Requests to the service.

import { assetUrl } from "./assets.js";
import { texts } from "./texts.js";

/** The URL of the service. The script of the page is `app/assets/{digest}/app.js` below it. */
export const base = assetUrl("../../../");

/** A request that failed. `message` is for people. */
export class RequestError extends Error {
  constructor(message, { status = 0, type = "", details = {} } = {}) {
    super(message);
    Object.assign(this, { status, type, details });
  }
}

/** The headers that identify the user; the session sets them. */
export const credentials = { headers: async () => ({}), renew: async () => false };

/**
 * Sends a request to a path below the service's URL and returns the JSON of the response; null if it has none.
 * An expired access token is renewed once.
 */
export async function request(method, path, { body, signal, query } = {}) {
  const url = new URL(path, base);
  if (query) url.search = new URLSearchParams(query).toString();
  const send = async () => {
    const headers = { Accept: "application/json", ...(await credentials.headers()) };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    return fetch(url, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  };
  let response = await reach(send);
  if (response.status === 401 && (await credentials.renew())) response = await reach(send);
  return read(response);
}

async function reach(send) {
  try {
    return await send();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError(texts.errors.offline, { type: "Offline" });
  }
}

async function read(response) {
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  // The connection can break in the middle of a body.
  const body = isJson ? await response.json().catch(() => null) : null;
  if (response.ok && (body !== null || !isJson)) return body;
  throw new RequestError(explain(response.status, body), {
    status: response.status,
    type: body?.error,
    details: body?.details,
  });
}

/** Returns the service's message, which tells users what to do, except where it is meant for programs. */
export function explain(status, body) {
  if (status === 429 || status === 503) return body?.message ?? texts.errors.busy;
  if (status >= 500) return texts.errors.server;
  return body?.message ?? texts.errors.unknown;
}
