// The audit trail.

import { html } from "../ui/html.js";
import { List, PAGE_SIZE, rowButton } from "../ui/list.js";
import { Loaded } from "../ui/loaded.js";
import { dateTime } from "../format.js";
import { request } from "../server.js";
import { showToast } from "../ui/toasts.js";
import { texts } from "../texts.js";

const words = texts.audit;
const PATH = "audit";

const COLUMNS = [
  [words.time, ({ at }) => dateTime(at)],
  [words.actor, ({ actor }) => actor],
  // `account.password_set`: the service names actions for programs.
  [words.action, ({ action }) => action.replaceAll(/[._]/g, " ")],
  [words.subject, ({ action, subject }) => html`${subject} ${action === "image.deleted" && rowButton(texts.bulk.restore, subject, () => restore(subject))}`],
  [words.details, ({ details }) => Object.entries(details).map(([name, value]) => html`<div>${name.replaceAll("_", " ")}: ${value}</div>`)],
];

/** Restores a picture that an administrator has taken down. */
function restore(id) {
  const send = request("POST", `images/${id}/restore`);
  send.then(() => showToast(texts.viewer.restored), (error) => showToast(error.message));
}

export function Audit() {
  return html`<${Loaded} load=${() => request("GET", PATH, { query: { limit: PAGE_SIZE } })}>
    ${(first) => html`<${List} name="entries" title=${words.title} text=${words.text} path=${PATH} first=${first} columns=${() => COLUMNS} />`}
  <//>`;
}
