// All accounts, and the forms to create, change and delete one.

import { html } from "../ui/html.js";
import { NEW_PASSWORD } from "../account/password.js";
import { List, PAGE_SIZE } from "../ui/list.js";
import { Loaded } from "../ui/loaded.js";
import { date } from "../format.js";
import { request } from "../server.js";
import { user } from "../session.js";
import { texts } from "../texts.js";

const words = texts.accounts;
const PATH = "accounts";

export function Accounts() {
  const load = () => Promise.all([request("GET", PATH, { query: { limit: PAGE_SIZE } }), request("GET", "plans")]);
  return html`<${Loaded} load=${load}>
    ${([first, { plans }]) => html`<${List}
      name="accounts"
      path=${PATH}
      title=${words.title}
      first=${first}
      columns=${(list) => columns(list, plans)}
      actions=${(list) => list.button(words.new, null, () => creation(list, plans), "button")}
    />`}
  <//>`;
}

function columns(list, plans) {
  return [
    [words.email, ({ email }) => email],
    [words.plan, ({ plan }) => plan ?? texts.account.plan(null)],
    [words.state, ({ admin, disabled }) => [admin && words.admin, disabled && words.disabled].filter(Boolean).join(", ") || words.active],
    [words.created, ({ created_at: time }) => date(time)],
    ["", (account) => html`${list.button(texts.account.change, account.email, () => change(list, account, plans))}
      ${account.disabled && list.deletion(account, account.email, deletion(account))}`],
  ];
}

function planField(field, plans, value) {
  // A plan cannot have an empty name.
  const options = [...plans.map(({ name }) => [name, name]), ["", words.noPlan]];
  return field("plan", words.plan, null, { options, value });
}

function creation(list, plans) {
  return {
    submit: words.create,
    conflict: "email",
    onDone: list.put,
    send: (form) => {
      const { email, password, plan } = Object.fromEntries(form);
      return request("POST", PATH, { body: { email, password, plan: plan || null, admin: form.has("state") } });
    },
    children: ({ field, checks }) => html`
      ${field("email", words.email, null, { type: "email", maxlength: 254, autocomplete: "off", required: true })}
      ${field("password", words.password, `${texts.account.passwordRule} ${words.passwordHint}`, { autocomplete: "off", spellcheck: false, ...NEW_PASSWORD })}
      ${planField(field, plans, "Basic")}
      ${checks("state", words.state, [["admin", words.admin, words.adminHint]])}
    `,
  };
}

function change(list, account, plans) {
  const isOwn = account.user_id === user.peek()?.id;
  const states = ["admin", "disabled"];
  return {
    submit: texts.edit.save,
    onDone: list.put,
    send: (form) => {
      const state = form.getAll("state");
      const values = [["plan", form.get("plan") || null], ...(isOwn ? [] : states.map((name) => [name, state.includes(name)]))];
      // The audit trail shows what is sent.
      const body = Object.fromEntries(values.filter(([name, value]) => value !== account[name]));
      return request("PATCH", `${PATH}/${account.id}`, { body });
    },
    children: ({ field, checks }) => html`
      ${planField(field, plans, account.plan ?? "")}
      ${isOwn ? html`<p class="hint">${words.own}</p>` : checks("state", words.state, states.map((name) => [name, words[name], words[`${name}Hint`], account[name]]))}
      <p class="hint">${words.reset(account.email)}</p>
    `,
  };
}

function deletion(account) {
  return {
    text: words.deleteText,
    send: (form) => request("DELETE", `${PATH}/${account.id}`, { query: { keep_images: form.has("pictures") } }),
    children: ({ checks }) => checks("pictures", words.pictures, [["keep", words.keep, words.keepHint]]),
  };
}
