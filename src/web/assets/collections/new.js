// The form for a new collection.

import { FormDialog } from "../ui/form.js";
import { html } from "../ui/html.js";
import { go } from "../router.js";
import { request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.collections;

/** What a form does not let pass as the name of a collection. */
export const NAME_RULE = { pattern: "[A-Za-z0-9_\\-]+", maxlength: 64, title: texts.plans.nameRule, required: true, autocomplete: "off" };

export const VISIBILITIES = ["public", "private"].map((value) => [value, texts.details[value]]);

export function NewCollection({ onClose }) {
  const send = (form) => request("POST", "collections", { body: Object.fromEntries(form) });
  const open = ({ name }) => go({ view: "collection", collection: name });
  return html`<${FormDialog} title=${words.new} submit=${words.create} conflict="name" send=${send} onDone=${open} onClose=${onClose}>
    ${({ field }) => html`
      ${field("name", words.name, words.nameRule, NAME_RULE)}
      ${field("visibility", texts.edit.visibility, null, { options: VISIBILITIES })}
    `}
  <//>`;
}
