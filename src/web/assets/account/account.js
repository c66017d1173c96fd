// The page of an account: its plan, password, API keys and sessions.

import { html } from "../ui/html.js";
import { Keys } from "./keys.js";
import { Page } from "./page.js";
import { Password } from "./password.js";
import { Sessions } from "./sessions.js";
import { includes } from "./plan.js";
import { Loaded } from "../ui/loaded.js";
import { amount, count, fileSize } from "../format.js";
import { request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.account;

export function Account() {
  const load = () => Promise.all([request("GET", "accounts/me"), request("GET", "api-keys")]);
  return html`<${Page} title=${words.title}>
    <${Loaded} load=${load}>
      ${([account, keys]) => html`<${Facts} ...${account} /> <${Password} email=${account.email} /> <${Keys} first=${keys} /> <${Sessions} />`}
    <//>
  <//>`;
}

function Facts({ email, user_id: name, plan, features, usage }) {
  return html`<p class="facts">${email} <small>${words.userName(name)}</small></p>
    <section aria-label=${words.plan(plan)}>
      <h2>${words.plan(plan)}</h2>
      <ul>${includes(features).map((text) => html`<li>${text}</li>`)}</ul>
      <${Quota} label=${words.pictures} used=${usage.images} max=${features?.max_images} show=${(number) => count(number, "picture")} start=${amount} />
      <${Quota} label=${words.storage} used=${usage.bytes} max=${features?.max_bytes} show=${fileSize} start=${fileSize} />
      <p class="hint">
        ${usage.trash_images > 0 && words.trash(usage.trash_images, fileSize(usage.trash_bytes))}
        ${" "}${usage.variant_bytes > 0 && words.variants(fileSize(usage.variant_bytes))}
      </p>
    </section>`;
}

/** `show` writes an amount with its unit; `start` writes it where the limit follows. */
function Quota({ label, used, max, show, start }) {
  const hasLimit = Number.isFinite(max);
  return html`<p class="quota">
    ${hasLimit ? words.used(start(used), show(max)) : words.unlimited(show(used))}
    ${hasLimit && html`<meter aria-label=${label} min="0" max=${max || 1} value=${max ? used : 1} high=${0.9 * max}></meter>`}
  </p>`;
}
