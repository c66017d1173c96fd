// The audit trail.

import { html } from "../ui/html.js";
import { List, PAGE_SIZE } from "../ui/list.js";
import { Loaded } from "../ui/loaded.js";
import { dateTime } from "../format.js";
import { request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.audit;
const PATH = "audit";

const COLUMNS = [
  [words.time, ({ at }) => dateTime(at)],
  [words.actor, ({ actor }) => actor],
  // `account.password_set`: the service names actions for programs.
  [words.action, ({ action }) => action.replaceAll(/[._]/g, " ")],
  [words.subject, ({ subject }) => subject],
  [words.details, ({ details }) => Object.entries(details).map(([name, value]) => html`<div>${name.replaceAll("_", " ")}: ${value}</div>`)],
];

export function Audit() {
  return html`<${Loaded} load=${() => request("GET", PATH, { query: { limit: PAGE_SIZE } })}>
    ${(first) => html`<${List} name="entries" title=${words.title} text=${words.text} path=${PATH} first=${first} columns=${() => COLUMNS} />`}
  <//>`;
}
