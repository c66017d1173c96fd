// The dialog for sharing a picture or a collection: the links that there are, and the form for another one.

import { Component, createRef, html } from "../ui/html.js";
import { copy } from "../ui/clipboard.js";
import { Dialog } from "../ui/dialog.js";
import { icon } from "../ui/icons.js";
import { dateTime } from "../format.js";
import { base, request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.sharing;
const DAY = 86_400;
/** The lifetimes to choose from, in seconds; 0 is for ever. */
const LIFETIMES = [0, DAY, 7 * DAY, 30 * DAY];

/** `target`: `{ image_id }` or `{ collection }`, as the API takes them. */
export class ShareDialog extends Component {
  list = createRef();
  state = { shares: null, busy: false, error: null, details: {} };

  componentDidMount() {
    this.act(() => request("GET", "shares", { query: { ...this.props.target, limit: 100 } }), ({ shares }) => shares);
  }

  /** Sends a request, and shows the shares that `change` makes of its response and the present ones. */
  async act(send, change) {
    this.setState({ busy: true, error: null, details: {} });
    try {
      const response = await send();
      this.setState({ busy: false, shares: change(response, this.state.shares ?? []) });
      return true;
    } catch (error) {
      this.setState({ busy: false, error: error.message, details: error.details ?? {} });
      return false;
    }
  }

  create = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const { lifetime, password, guests } = Object.fromEntries(new FormData(form));
    const body = {
      ...this.props.target,
      expires_in: Number(lifetime) || null,
      password: password || null,
      max_guest_images: Number(guests) || null,
    };
    const isCreated = await this.act(() => request("POST", "shares", { body }), (share, others) => [share, ...others]);
    if (!isCreated) return;
    form.reset();
    this.list.current.querySelector("button").focus();
  };

  remove(share) {
    return this.act(() => request("DELETE", `shares/${share.id}`), (_, all) => all.filter(({ id }) => id !== share.id));
  }

  render({ target, onClose }, { shares, busy, error, details }) {
    const rule = (name) => details[name] && html`<span class="error">${details[name]}</span>`;
    return html`<${Dialog} title=${words.title} onClose=${onClose}>
      <p>${target.collection ? words.ofCollection : words.ofPicture}</p>
      <ul class="shares" ref=${this.list}>
        ${shares?.map((share) => html`<${Share} key=${share.id} share=${share} onRemove=${() => this.remove(share)} />`)}
      </ul>
      <form onSubmit=${this.create}>
        <label>
          ${words.lifetime}
          <select name="lifetime">${LIFETIMES.map((seconds) => html`<option value=${seconds}>${words.days(seconds / DAY)}</option>`)}</select>
          ${rule("expires_in")}
        </label>
        <label>${words.password} <input name="password" autocomplete="off" minlength="6" maxlength="128" /> ${rule("password")}</label>
        ${target.collection &&
        html`<label>${words.guests} <input name="guests" type="number" min="1" max="1000" inputmode="numeric" /> ${rule("max_guest_images")}</label>`}
        <p class="error" role="alert">${error}</p>
        <div class="actions">
          <button type="button" class="text-button" onClick=${onClose}>${words.close}</button>
          <button type="submit" class="button" disabled=${busy}>${words.create}</button>
        </div>
      </form>
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
