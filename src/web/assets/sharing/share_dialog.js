// The dialog for sharing a picture or a collection: the links that there are, and the form for another one.

import { Component, createRef, html } from "../ui/html.js";
import { copy } from "../ui/clipboard.js";
import { Dialog } from "../ui/dialog.js";
import { Form } from "../ui/form.js";
import { icon } from "../ui/icons.js";
import { dateTime } from "../format.js";
import { base, request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.sharing;
const DAY = 86_400;
/** The lifetimes to choose from, in seconds; 0 is for ever. */
const LIFETIMES = [0, DAY, 7 * DAY, 30 * DAY];

/** `target`: `{ image_id }` or `{ collection }`, as the API takes them; `isPublic`: whether everyone can see the collection. */
export class ShareDialog extends Component {
  list = createRef();
  state = { shares: null, error: null, isAdding: false };

  componentDidMount() {
    const list = () => request("GET", "shares", { query: { ...this.props.target, limit: 100 } });
    this.act(list, ({ shares }) => this.setState({ shares }));
  }

  /** Sends a request, and then calls a function with its response. */
  async act(send, done) {
    this.setState({ error: null });
    try {
      done(await send());
    } catch (error) {
      this.setState({ error: error.message });
    }
  }

  create = (data) => {
    const { expires_in: lifetime, password, max_guest_images: guests } = Object.fromEntries(data);
    const terms = { expires_in: Number(lifetime) || null, password: password || null, max_guest_images: Number(guests) || null };
    return request("POST", "shares", { body: { ...this.props.target, ...terms } }).catch((error) => {
      throw error.status === 403 ? Object.assign(error, { message: words.notInPlan }) : error;
    });
  };

  add = (share) => this.setState({ shares: [share, ...this.state.shares], error: null, isAdding: false }, this.focus);

  remove({ id }) {
    const others = () => this.state.shares.filter((other) => other.id !== id);
    this.act(() => request("DELETE", `shares/${id}`), () => this.setState({ shares: others() }, this.focus));
  }

  /** Focuses the first link's button, or else the first field: what had the focus may be gone. */
  focus = () => this.list.current?.parentElement.querySelector("button, select").focus();

  startAnother = () => {
    this.setState({ isAdding: true }, () => this.list.current.parentElement.querySelector("select").focus());
  };

  render({ target, isPublic, onClose }, { shares, error, isAdding }) {
    const lifetimes = LIFETIMES.map((seconds) => [seconds, words.days(seconds / DAY)]);
    const number = { type: "number", min: 1, max: 1000, inputmode: "numeric" };
    return html`<${Dialog} title=${words.title} onClose=${onClose}>
      <p>${target.collection ? words.ofCollection : words.ofPicture}</p>
      ${error && html`<p class="error" role="alert">${error}</p>`}
      <ul class="shares" ref=${this.list}>
        ${shares?.map((share) => html`<${Share} key=${share.id} share=${share} onRemove=${() => this.remove(share)} />`)}
      </ul>
      ${shares?.length === 0 || isAdding
        ? html`<${Form} submit=${words.create} cancel=${words.close} send=${this.create} onDone=${this.add} onCancel=${onClose}>
            ${({ field }) => html`${field("expires_in", words.lifetime, null, { options: lifetimes, value: 0 })}
              ${field("password", words.password, words.passwordHint, { autocomplete: "off", maxlength: 128 })}
              ${target.collection && field("max_guest_images", words.guests, words.guestsHint(isPublic), number)}`}
          <//>`
        : html`<div class="actions">
            <button type="button" class="text-button" onClick=${onClose}>${words.close}</button>
            ${shares && html`<button type="button" class="button" onClick=${this.startAnother}>${words.another}</button>`}
          </div>`}
    <//>`;
  }
}

function Share({ share, onRemove }) {
  // At the address that this page has, which the service may not know.
  const url = new URL(`s/${share.url.split("/").at(-1)}`, base).href;
  const facts = [
    share.expired ? words.expired : share.expires_at ? words.until(dateTime(share.expires_at)) : words.days(0),
    share.has_password && words.hasPassword,
    share.max_guest_images && words.added(share.guest_images, share.max_guest_images),
  ];
  return html`<li>
    <p><a href=${url} target="_blank">${url.replace(/^https?:\/\//, "")}</a> <small>${facts.filter(Boolean).join(" · ")}</small></p>
    <button type="button" class="icon-button" title=${words.copy} aria-label=${words.copy} onClick=${() => copy(url)}>${icon("copy")}</button>
    <button type="button" class="icon-button" title=${words.remove} aria-label=${words.remove} onClick=${onRemove}>${icon("trash")}</button>
  </li>`;
}
