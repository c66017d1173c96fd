// The sessions of the account: where it is signed in.

import { signal } from "../vendor/signals-core/signals-core.module.js";
import { html, observer } from "../ui/html.js";
import { List, rowButton } from "../ui/list.js";
import { Loaded } from "../ui/loaded.js";
import { showToast } from "../ui/toasts.js";
import { dateTime } from "../format.js";
import { request } from "../server.js";
import { signOut } from "../session.js";
import { texts } from "../texts.js";

const words = texts.account;
const PATH = "accounts/me/sessions";

/** Increased when something else has changed the sessions. */
export const changes = signal(0);

export const Sessions = observer(
  () => html`<${Loaded} key=${changes.value} load=${() => request("GET", PATH)}>
    ${(sessions) => html`<${List} name="sessions" path=${PATH} title=${words.sessions} text=${words.sessionsText} first=${sessions} columns=${columns} actions=${actions} />`}
  <//>`,
);

function columns(list) {
  return [
    [words.signedIn, (session) => html`${dateTime(session.created_at)} ${session.current && html`<strong class="mark">${words.thisSession}</strong>`}`],
    [words.expires, (session) => dateTime(session.expires_at)],
    ["", (session) => !session.current && rowButton(words.end, dateTime(session.created_at), () => attempt(() => endAll(list, [session])))],
  ];
}

function actions(list, entries) {
  const others = entries.filter(({ current }) => !current);
  const endEvery = async () => {
    await request("DELETE", PATH);
    await signOut();
  };
  return others.length > 0 && html`
    <button class="text-button" onClick=${() => attempt(() => endAll(list, others))}>${words.endOthers}</button>
    <button class="text-button" onClick=${() => attempt(endEvery)}>${words.endAll}</button>`;
}

async function endAll(list, sessions) {
  for (const session of sessions) {
    // It may have ended in the meantime.
    await request("DELETE", `${PATH}/${session.id}`).catch((error) => error.status === 404 || Promise.reject(error));
    list.remove(session);
  }
  showToast(words.ended(sessions.length));
}

async function attempt(act) {
  try {
    await act();
  } catch (error) {
    showToast(error.message);
  }
}
