// What visitors learn about a picture.

import { html } from "../ui/html.js";
import { date } from "../format.js";
import { base } from "../server.js";
import { nameOf } from "../gallery/tiles.js";
import { texts } from "../texts.js";

const words = texts.details;

export function VisitorDetails({ tile }) {
  const facts = [
    [words.description, tile.description],
    [words.uploaded, date(tile.created_at)],
    [words.size, words.pixels(tile.width, tile.height)],
    [words.file, tile.file_name],
  ];
  return html`<h2>${nameOf(tile)}</h2>
    ${tile.original && html`<div class="chips"><a class="chip" href=${new URL(tile.original, base)} download=${tile.file_name}>${texts.viewer.download}</a></div>`}
    <dl>
      ${facts.filter(([, value]) => value).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>`;
}
