// Who uses the page, and how requests say so.
//
// A gateway names the user itself. Without one, the service either believes the user name that the page sends, or has accounts:
// then the access token is kept in memory, and the refresh token in a cookie that scripts cannot read.

import { signal } from "./vendor/signals-core/signals-core.module.js";
import { base, credentials, request, RequestError } from "./server.js";
import { remember, remembered } from "./storage.js";
import { texts } from "./texts.js";

/** `gateway`, `name` or `account`; `visitor` on pages that are for everyone. */
export const identity = document.body.dataset.identity;

/** The user: null for an anonymous visitor. `{ id, email, admin }`, of which only accounts have the last two. */
export const user = signal(null);

/** Whether a session has ended that the user did not end. */
export const expired = signal(false);

const NAME_KEY = "user-name";
// A token is renewed this long before it expires.
const RENEW_BEFORE_MS = 60_000;

let access = null;
let renewing = null;

credentials.headers = async () => {
  // The page may know the user before it has a token.
  if (!access) await renewing?.catch(() => null);
  if (access) return { Authorization: `Bearer ${access.token}` };
  return identity === "name" && user.value ? { "X-User-Id": user.value.id } : {};
};
credentials.renew = () => (access ? renew() : false);

/** Whether the page knows who uses it. */
export const isStarted = signal(false);

/** Why the page could not find out who uses it; null while it can. */
export const startFailure = signal(null);

/** Finds out who uses the page. */
export async function start() {
  startFailure.value = null;
  try {
    const found = findUser();
    isStarted.value = Boolean(user.value);
    await found;
    isStarted.value = true;
  } catch (error) {
    startFailure.value = error.message;
  }
}

async function findUser() {
  if (identity === "gateway") {
    user.value = { id: document.body.dataset.user };
  } else if (identity === "name") {
    const name = remembered(NAME_KEY);
    user.value = name ? { id: name } : null;
  } else if (identity === "account") {
    const { user: id, email, admin } = document.body.dataset;
    if (id) user.value = { id, email, admin: admin !== undefined };
    await renewSession();
    if (user.value && user.value.id !== id) keepPass();
  }
}

/** Lets the document name the user when the page is opened again. It then has the first pictures. */
function keepPass() {
  request("POST", "app/pass").catch(() => null);
}

/** Uses a user name from now on; null forgets it. */
export function setUserName(name) {
  remember(NAME_KEY, name || null);
  user.value = name ? { id: name } : null;
}

/** Logs in to an account. */
export async function signIn(email, password) {
  take(await request("POST", "app/session/start", { body: { email, password } }));
  keepPass();
}

/** Logs out of the account. Until the service has ended the session, the user is still logged in. */
export async function signOut() {
  // A renewal at the same time would bring the session back.
  await renewing?.catch(() => null);
  await sendToSession("end");
  take(null);
  await request("DELETE", "app/pass").catch(() => null);
}

/** Returns whether requests can be repeated for the same user with a new access token. */
function renew() {
  const id = user.peek()?.id;
  return renewSession().then(
    () => Boolean(access) && user.peek()?.id === id,
    () => false,
  );
}

/** Exchanges the refresh token in the cookie for an access token, if there is a session. Calls at the same time share the exchange. */
function renewSession() {
  renewing ??= exchange().finally(() => {
    renewing = null;
  });
  return renewing;
}

async function exchange() {
  const session = await sendToSession("refresh");
  if (!session && access) expired.value = true;
  take(session);
}

/** Sends a request that has only the cookie. Returns the session of the response, or null. */
async function sendToSession(action) {
  const response = await fetch(new URL(`app/session/${action}`, base), { method: "POST" }).catch(() => null);
  if (!response) throw new RequestError(texts.errors.offline, { type: "Offline" });
  if (response.status === 204) return null;
  const session = response.ok && (await response.json().catch(() => null));
  if (!session?.access) throw new RequestError(response.status === 429 ? texts.errors.busy : texts.errors.server);
  return session;
}

function take(session) {
  clearTimeout(access?.timer);
  if (!session) {
    access = null;
    user.value = null;
    return;
  }
  const timer = setTimeout(renew, Math.max(1000 * session.expires_in - RENEW_BEFORE_MS, 1000));
  access = { token: session.access, timer };
  expired.value = false;
  if (user.value?.id !== session.user_id) {
    user.value = { id: session.user_id, email: session.email, admin: session.admin };
  }
}
