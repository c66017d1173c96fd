// Sends a file: small ones as a form, which is safe to repeat, and large ones with tus (https://tus.io), which continues where the
// connection was lost.

import { errorOf, send } from "./http.js";
import { visitor } from "../visitor/visitor.js";

/** Repeating a smaller file costs less than the additional requests of tus. */
const MIN_RESUMABLE_BYTES = 2_000_000;
const TUS = { "Tus-Resumable": "1.0.0" };
/** The waiting times before an interrupted transfer is continued. */
const RETRY_DELAYS_MS = [1000, 3000, 9000];

/**
 * Sends the file of an item, and returns the id of the image. `item` keeps what makes it safe to call this again: the idempotency
 * key, and the address of the interrupted upload. `onProgress` gets the number of bytes that have been sent. `onWait` gets the error
 * because of which the transfer waits, and null when it goes on.
 */
export async function transfer(item, fields, { signal, onProgress, onWait }) {
  // Visitors can only send forms.
  const sendFile = visitor || item.file.size < MIN_RESUMABLE_BYTES ? sendForm : sendResumably;
  return repeat(() => sendFile(item, fields, { signal, onProgress }), { signal, onWait });
}

/** Runs an action until it succeeds, fails for good, or has failed too often. */
export async function repeat(action, { signal, onWait }) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await action();
    } catch (error) {
      if (signal.aborted || !isTransient(error) || attempt >= RETRY_DELAYS_MS.length) throw error;
      onWait(error);
      await pause(Math.max(RETRY_DELAYS_MS[attempt], 1000 * (error.retryAfter ?? 0)), signal);
      onWait(null);
    }
  }
}

async function sendForm(item, fields, { signal, onProgress }) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", item.file, item.file.name);
  const response = await send("POST", visitor ? `${visitor.source}/images` : "images", { headers: { "Idempotency-Key": item.key }, body: form, signal, onProgress });
  if (response.status >= 300) throw errorOf(response);
  return response.body.image_id;
}

async function sendResumably(item, fields, { signal, onProgress }) {
  let offset = item.upload ? await continued(item, signal) : 0;
  if (offset === item.file.size) return resultOf(item, signal);
  if (!item.upload) {
    offset = 0;
    item.upload = await create(item, fields, signal);
  }
  const response = await send("PATCH", `uploads/tus/${item.upload}`, {
    headers: { ...TUS, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" },
    body: item.file.slice(offset),
    signal,
    onProgress: (bytes) => onProgress(offset + bytes),
  });
  if (response.status === 200) return response.body.image_id;
  // A rejected file cannot be continued.
  if (!isTransient(errorOf(response))) item.upload = null;
  throw errorOf(response);
}

async function create(item, fields, signal) {
  const metadata = Object.entries({ ...fields, filename: item.file.name }).filter(([, value]) => value);
  const headers = {
    ...TUS,
    "Upload-Length": String(item.file.size),
    "Upload-Metadata": metadata.map(([name, value]) => `${name} ${base64(value)}`).join(","),
  };
  const response = await send("POST", "uploads/tus", { headers, signal });
  if (response.status !== 201) throw errorOf(response);
  // The address may name another host than that of this page, so only the id counts.
  return response.header("Location").split("/").at(-1);
}

/** Returns where an interrupted upload continues; 0 if it is gone, and then forgets it. */
async function continued(item, signal) {
  const response = await send("HEAD", `uploads/tus/${item.upload}`, { headers: TUS, signal });
  if (response.status === 200) return Number(response.header("Upload-Offset"));
  if (isTransient(errorOf(response))) throw errorOf(response);
  item.upload = null;
  return 0;
}

/** Returns the image of a complete upload whose last response was lost. */
async function resultOf(item, signal) {
  const response = await send("GET", `uploads/${item.upload}`, { signal });
  if (response.status === 200 && response.body.image_id) return response.body.image_id;
  item.upload = null;
  throw errorOf(response);
}

/** Removes what has been sent of a cancelled file. */
export async function abandon(item) {
  if (item.upload) await send("DELETE", `uploads/tus/${item.upload}`, { headers: TUS }).catch(() => null);
}

/** Returns whether the same request may succeed later. */
function isTransient({ type, status }) {
  return type === "Offline" || [408, 409, 423, 429].includes(status) || status >= 500;
}

/** Returns whether the user can try again: later, or after signing in. Errors without a status are not the service's answer. */
export function canRetry(error) {
  return isTransient(error) || error.status === 401 || !(error.status >= 400);
}

/** Waits, and at least until the browser is online. */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const end = (act) => () => {
      clearTimeout(timer);
      removeEventListener("online", retry);
      signal.removeEventListener("abort", cancel);
      act();
    };
    const retry = end(resolve);
    const cancel = end(() => reject(new DOMException("cancelled", "AbortError")));
    const timer = setTimeout(() => navigator.onLine && retry(), ms);
    addEventListener("online", retry);
    signal.addEventListener("abort", cancel);
  });
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
