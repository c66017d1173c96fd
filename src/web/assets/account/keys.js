// The API keys of the account. A new one is shown once.

import { Component, createRef, html } from "../ui/html.js";
import { copy } from "../ui/clipboard.js";
import { icon } from "../ui/icons.js";
import { List } from "../ui/list.js";
import { dateTime } from "../format.js";
import { base, request, RequestError } from "../server.js";
import { user } from "../session.js";
import { texts } from "../texts.js";

const words = texts.account;
const DAY = 86_400;
/** The lifetimes to choose from, in days; 0 is for ever. */
const LIFETIMES = [0, 30, 90, 365];
/** Requests that a scope permits, for the example: arguments of curl, and a path. */
const EXAMPLES = { upload: ["-F file=@picture.jpg ", "images"], read: ["", "images"], admin: ["", "accounts"] };

export class Keys extends Component {
  state = { created: null };

  columns = (list) => [
    [words.description, nameOf],
    [words.permits, ({ scopes }) => (scopes ?? ["all"]).map((scope) => words.scopes[scope][0]).join(", ")],
    [words.lastUsed, ({ last_used_at: used }) => (used ? dateTime(used) : words.never)],
    [words.expires, ({ expires_at: end }) => (end ? `${new Date(end) < new Date() ? words.expired : ""} ${dateTime(end)}` : words.never)],
    ["", (key) => list.deletion(key, nameOf(key), { text: words.deleteKey })],
  ];

  forget = ({ id }) => {
    if (id === this.state.created?.id) this.setState({ created: null });
  };

  create = (list) => {
    const onDone = (created) => {
      list.put(created);
      this.setState({ created });
    };
    return list.button(words.newKey, null, () => ({ submit: words.createKey, send, children: fields, onDone }), "button");
  };

  render({ first }, { created }) {
    return html`<${List} name="api_keys" path="api-keys" title=${words.keys} text=${words.keysText} empty=${words.noKeys} first=${first} columns=${this.columns} actions=${this.create} onRemove=${this.forget} />
      ${created && html`<${Secret} key=${created.id} created=${created} />`}`;
  }
}

function nameOf({ description }) {
  return description || words.noDescription;
}

function fields({ field, checks }) {
  const scopes = Object.entries(words.scopes).filter(([name]) => name !== "admin" || user.peek()?.admin);
  return html`
    ${field("description", words.description, words.descriptionHint, { maxlength: 200, autocomplete: "off" })}
    ${checks("scopes", words.permits, scopes.map(([name, [label, hint]]) => [name, label, hint, name === "read" || name === "upload"]))}
    ${field("expires_in", words.expires, null, { options: LIFETIMES.map((days) => [days, texts.sharing.days(days)]) })}
  `;
}

function send(form) {
  const scopes = form.getAll("scopes");
  if (scopes.length === 0) throw new RequestError(words.noScope, { details: { scopes: words.noScope } });
  const body = {
    description: form.get("description").trim(),
    scopes: scopes.includes("all") ? null : scopes,
    expires_in: DAY * form.get("expires_in") || null,
  };
  return request("POST", "api-keys", { body });
}

/** The secret of a new key. It cannot be shown again. */
class Secret extends Component {
  element = createRef();

  componentDidMount() {
    // After the dialog has given the focus back.
    requestAnimationFrame(() => this.element.current?.focus());
  }

  render({ created }) {
    const { key, scopes } = created;
    const example = EXAMPLES[Object.keys(EXAMPLES).find((scope) => !scopes || scopes.includes(scope))];
    const command = example && `curl -H 'Authorization: Bearer ${key}' ${example[0]}${new URL(example[1], base)}`;
    return html`<section class="secret" ref=${this.element} tabindex="-1" aria-label=${words.keyCreated(nameOf(created))}>
      <h2>${words.keyCreated(nameOf(created))}</h2>
      <p>${words.keyOnce}</p>
      <${Copyable} text=${key} label=${words.copyKey} />
      ${command && html`<p>${words.keyExample}</p> <${Copyable} text=${command} label=${words.copyCommand} />`}
    </section>`;
  }
}

function Copyable({ text, label }) {
  return html`<pre tabindex="0">${text}</pre>
    <button class="button" onClick=${() => copy(text)}>${icon("copy")} ${label}</button>`;
}
