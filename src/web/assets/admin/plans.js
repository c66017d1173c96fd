// All plans, and the forms to create, change and delete one.

import { html } from "../ui/html.js";
import { FEATURES, includes } from "../account/plan.js";
import { List } from "../ui/list.js";
import { Loaded } from "../ui/loaded.js";
import { count, fileSize } from "../format.js";
import { request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.plans;
const PATH = "plans";
const MB = 1_000_000;

export function Plans() {
  const actions = (list) => list.button(words.new, null, () => edit(list, null), "button");
  return html`<${Loaded} load=${() => request("GET", PATH)}>
    ${(first) => html`<${List} name="plans" path=${PATH} title=${words.title} text=${words.text} first=${first} columns=${columns} actions=${actions} />`}
  <//>`;
}

function columns(list) {
  return [
    [words.name, ({ name, built_in: isBuiltIn }) => html`${name} <small>${isBuiltIn && words.builtIn}</small>`],
    [words.includes, (plan) => includes(plan).map((text) => html`<div>${text}</div>`)],
    [words.limits, limits],
    ["", (plan) => html`${list.button(texts.account.change, plan.name, () => edit(list, plan))}
      ${!plan.built_in && list.deletion(plan, plan.name, { text: words.deleteText })}`],
  ];
}

function limits({ max_images: images, max_bytes: bytes }) {
  return [images !== null && count(images, "picture"), bytes !== null && fileSize(bytes)].filter(Boolean).join(", ") || words.noLimit;
}

/** Returns the form for a plan; null: for a new one. */
function edit(list, plan) {
  const limit = { type: "number", min: 0 };
  return {
    submit: plan ? texts.edit.save : words.create,
    conflict: "name",
    onDone: list.put,
    send: (form) => {
      const { name, thumbnails, max_images: images, max_bytes: megabytes } = Object.fromEntries(form);
      const chosen = form.getAll("features");
      const features = {
        ...Object.fromEntries(FEATURES.map((feature) => [feature, chosen.includes(feature)])),
        thumbnails: thumbnails.split(",").map((size) => size.trim()).filter(Boolean),
        max_images: images === "" ? null : Number(images),
        max_bytes: megabytes === "" ? null : Math.round(megabytes * MB),
      };
      return plan ? request("PUT", `${PATH}/${plan.name}`, { body: features }) : request("POST", PATH, { body: { name, ...features } });
    },
    children: ({ field, checks }) => html`
      ${!plan && field("name", words.name, words.nameRule, { pattern: "[A-Za-z0-9_\\-]+", maxlength: 64, required: true, autocomplete: "off" })}
      ${field("thumbnails", words.thumbnails, words.thumbnailsHint, { value: plan?.thumbnails.join(", "), autocomplete: "off" })}
      ${checks("features", words.includes, FEATURES.map((name) => [name, words[name], words[`${name}Hint`], plan?.[name]]))}
      ${field("max_images", words.maxImages, words.limitHint, { ...limit, value: plan?.max_images })}
      ${field("max_bytes", words.maxBytes, words.limitHint, { ...limit, step: "any", value: Number.isFinite(plan?.max_bytes) ? plan.max_bytes / MB : null })}
    `,
  };
}
