// Requests with a file. `fetch` does not report the progress of an upload, so they use XMLHttpRequest.

import { base, credentials, explain, RequestError } from "../server.js";
import { texts } from "../texts.js";

/**
 * Sends a request. Returns `{ status, body, header(name) }` of a response of any status; `body` is JSON or null.
 * `onProgress` gets the number of bytes that have been sent.
 */
export async function send(method, path, { headers = {}, body = null, signal, onProgress } = {}) {
  const attempt = async () =>
    once(method, path, { headers: { ...headers, ...(await credentials.headers()) }, body, signal, onProgress });
  const response = await attempt();
  return response.status === 401 && (await credentials.renew()) ? attempt() : response;
}

function once(method, path, { headers, body, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    const cancel = () => xhr.abort();
    const settle = (act) => () => {
      signal?.removeEventListener("abort", cancel);
      act();
    };
    xhr.open(method, new URL(path, base));
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => onProgress?.(event.loaded);
    xhr.onload = settle(() =>
      resolve({ status: xhr.status, body: parse(xhr.responseText), header: (name) => xhr.getResponseHeader(name) }),
    );
    xhr.onerror = settle(() => reject(new RequestError(texts.errors.offline, { type: "Offline" })));
    xhr.onabort = settle(() => reject(new DOMException("cancelled", "AbortError")));
    if (signal?.aborted) {
      xhr.onabort();
      return;
    }
    signal?.addEventListener("abort", cancel);
    xhr.send(body);
  });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Returns the error that a response means. */
export function errorOf({ status, body, header }) {
  const retryAfter = Number(header("Retry-After") ?? 0);
  return Object.assign(new RequestError(explain(status, body), { status, type: body?.error, details: body?.details }), { retryAfter });
}
