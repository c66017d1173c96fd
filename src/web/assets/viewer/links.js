// The link of a public picture, in the notations of the places where people paste it.

import { html } from "../ui/html.js";
import { copy } from "../ui/clipboard.js";
import { base } from "../server.js";
import { texts } from "../texts.js";

const words = texts.links;

export function Links({ image }) {
  if (image.visibility === "private") return html`<p class="hint">${words.private}</p>`;
  return html`<div class="links" role="group" aria-label=${words.label}>
    ${Object.entries(notations(image)).map(
      ([name, text]) => html`<button key=${name} class="chip" aria-label=${words.copy(name)} onClick=${() => copy(text)}>${name}</button>`,
    )}
  </div>`;
}

function notations(image) {
  const url = new URL(`i/${image.image_id}`, base).href;
  const alt = image.title ?? image.caption ?? image.file_name;
  return {
    URL: url,
    Markdown: `![${alt.replace(/[\\`*_[\]<&]/g, "\\$&")}](${url})`,
    HTML: `<img src="${url}" alt="${escapeHtml(alt)}" width="${image.width}" height="${image.height}">`,
    BBCode: `[img]${url}[/img]`,
  };
}

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function escapeHtml(text) {
  return text.replace(/[&<>"]/g, (character) => ENTITIES[character]);
}
