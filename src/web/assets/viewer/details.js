// What is known about a picture.

import { Component, createRef, html } from "../ui/html.js";
import { dateTime, fileSize, localDate } from "../format.js";
import { Download } from "./download.js";
import { Edit } from "./edit.js";
import { Links } from "./links.js";
import { isOwner } from "./deletion.js";
import { request } from "../server.js";
import { user } from "../session.js";
import { ShareDialog } from "../sharing/share_dialog.js";
import { texts } from "../texts.js";

const words = texts.details;

export class Details extends Component {
  editButton = createRef();
  state = { image: null, error: null, editing: false, sharing: false };

  async componentDidMount() {
    this.aborts = new AbortController();
    try {
      this.setState({ image: await request("GET", `images/${this.props.tile.id}`, { signal: this.aborts.signal }) });
    } catch (error) {
      if (!this.aborts.signal.aborted) this.setState({ error });
    }
  }

  componentWillUnmount() {
    this.aborts.abort();
  }

  edit = () => this.setState({ editing: true });

  /** Returns from the form. `image`: with its changes, if they were saved. */
  leave = (image = this.state.image) => {
    this.setState({ image, editing: false }, () => this.editButton.current?.focus());
  };

  saved = (image) => {
    this.leave(image);
    this.props.onSaved();
  };

  share = () => this.setState({ sharing: true });

  render({ tile }, { image, error, editing, sharing }) {
    if (error) return html`<p role="alert">${words.failed} ${error.message}</p>`;
    if (!image) return html`<p role="status">${words.loading} …</p>`;
    if (editing) return html`<${Edit} image=${image} onSaved=${this.saved} onCancel=${() => this.leave()} />`;
    return html`<h2>${image.title ?? image.file_name}</h2>
      <div class="chips">
        ${isOwner(tile) && html`<button ref=${this.editButton} class="chip" onClick=${this.edit}>${words.edit}</button> <button class="chip" onClick=${this.share}>${texts.sharing.share}</button>`}
        ${hasOriginal(image) && html`<${Download} image=${image} />`}
      </div>
      <dl>
        ${facts(image).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
      </dl>
      ${sharing && html`<${ShareDialog} target=${{ image_id: image.image_id }} onClose=${() => this.setState({ sharing: false })} />`}`;
  }
}

/** Returns whether the plan of the owner includes the original. */
function hasOriginal(image) {
  return image.download_url !== null;
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
    [words.owner, isOwner(image) ? (user.value.email ?? image.user_id) : image.user_id],
    [words.visibility, words[image.visibility]],
    [texts.links.label, hasOriginal(image) ? html`<${Links} image=${image} />` : texts.links.notInPlan],
    [words.colors, html`<${Swatches} colors=${image.colors} />`],
  ];
  return all.filter(([, value]) => value);
}

function Swatches({ colors }) {
  return html`<ul class="swatches">
    ${colors.map((color) => html`<li style=${{ backgroundColor: color }} title=${color}><span class="hidden">${color}</span></li>`)}
  </ul>`;
}
