// Who uses the page, and how requests say so.
//
// A gateway names the user itself. Without one, the service either believes the user name that the page sends, or has accounts:
// then the access token is kept in memory, and the refresh token in a cookie that scripts cannot read.

import { signal } from "./vendor/signals-core/signals-core.module.js";
import { base, credentials, request } from "./server.js";

/** `gateway`, `name` or `account`. */
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

credentials.headers = () => {
  if (access) return { Authorization: `Bearer ${access.token}` };
  return identity === "name" && user.value ? { "X-User-Id": user.value.id } : {};
};
credentials.renew = () => (access ? renew() : false);

/** Whether the page knows who uses it. */
export const isStarted = signal(false);

/** Finds out who uses the page. */
export async function start() {
  await findUser();
  isStarted.value = true;
}

async function findUser() {
  if (identity === "gateway") {
    user.value = { id: document.body.dataset.user };
  } else if (identity === "name") {
    const name = localStorage.getItem(NAME_KEY);
    user.value = name ? { id: name } : null;
  } else {
    await renew();
  }
}

/** Uses a user name from now on; null forgets it. */
export function setUserName(name) {
  if (name) localStorage.setItem(NAME_KEY, name);
  else localStorage.removeItem(NAME_KEY);
  user.value = name ? { id: name } : null;
}

/** Logs in to an account. */
export async function signIn(email, password) {
  take(await request("POST", "app/session/start", { body: { email, password } }));
}

/** Logs out of the account. Until the service has ended the session, the user is still logged in. */
export async function signOut() {
  await request("POST", "app/session/end");
  take(null);
}

/** Exchanges the refresh token in the cookie. Returns whether there is a session. Requests at the same time share the exchange. */
function renew() {
  renewing ??= exchange().finally(() => {
    renewing = null;
  });
  return renewing;
}

async function exchange() {
  const response = await fetch(new URL("app/session/refresh", base), { method: "POST" }).catch(() => null);
  // The token may still be valid when the service can be reached again.
  if (!response?.ok) return false;
  const session = response.status === 204 ? null : await response.json();
  if (!session && access) expired.value = true;
  take(session);
  return session !== null;
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
