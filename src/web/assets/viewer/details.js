// What is known about a picture.

import { Component, html } from "../ui/html.js";
import { dateTime, fileSize, localDate } from "../format.js";
import { request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.details;

export class Details extends Component {
  state = { image: null, error: null };

  async componentDidMount() {
    this.aborts = new AbortController();
    const query = { include_url: "false" };
    try {
      this.setState({ image: await request("GET", `images/${this.props.id}`, { query, signal: this.aborts.signal }) });
    } catch (error) {
      if (!this.aborts.signal.aborted) this.setState({ error });
    }
  }

  componentWillUnmount() {
    this.aborts.abort();
  }

  render(_, { image, error }) {
    if (error) return html`<p role="alert">${words.failed} ${error.message}</p>`;
    if (!image) return html`<p role="status">${words.loading} …</p>`;
    return html`<h2>${image.title ?? image.file_name}</h2>
      <dl>
        ${facts(image).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
      </dl>`;
  }
}

function facts(image) {
  const { metadata } = image;
  const taken = metadata.created_at;
  const all = [
    [words.description, image.description],
    [words.caption, image.caption],
    [words.tags, image.tags.length > 0 && html`<ul class="chips">${image.tags.map((tag) => html`<li class="chip">${tag}</li>`)}</ul>`],
    [words.uploaded, dateTime(image.created_at)],
    [words.taken, taken && localDate(taken)],
    [words.camera, metadata.camera],
    [words.size, `${words.pixels(image.width, image.height)}, ${fileSize(image.file_size)}`],
    [words.file, image.file_name],
    [words.owner, image.user_id],
    [words.visibility, words[image.visibility]],
    [words.colors, html`<${Swatches} colors=${image.colors} />`],
  ];
  return all.filter(([, value]) => value);
}

function Swatches({ colors }) {
  return html`<ul class="swatches">
    ${colors.map((color) => html`<li style=${{ backgroundColor: color }} title=${color}><span class="hidden">${color}</span></li>`)}
  </ul>`;
}
