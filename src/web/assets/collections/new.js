// The form for a new collection.

import { Component, html } from "../ui/html.js";
import { Dialog } from "../ui/dialog.js";
import { go } from "../router.js";
import { request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.collections;

/** What a form does not let pass as the name of a collection. */
export const NAME_RULE = { pattern: "[A-Za-z0-9_\\-]+", maxlength: 64, title: texts.bulk.nameRule, required: true, autocomplete: "off" };

export class NewCollection extends Component {
  state = { busy: false, error: null };

  submit = async (event) => {
    event.preventDefault();
    const body = Object.fromEntries(new FormData(event.currentTarget));
    this.setState({ busy: true, error: null });
    try {
      await request("POST", "collections", { body });
      this.props.onClose();
      go({ view: "collection", collection: body.name });
    } catch (error) {
      this.setState({ busy: false, error: error.message });
    }
  };

  render({ onClose }, { busy, error }) {
    return html`<${Dialog} title=${words.new} onClose=${onClose}>
      <form onSubmit=${this.submit}>
        <label>${words.name} <input name="name" aria-describedby="name-rule" ...${NAME_RULE} /></label>
        <p id="name-rule" class="hint">${words.nameRule}</p>
        <label>
          ${texts.edit.visibility}
          <select name="visibility">
            ${["public", "private"].map((value) => html`<option value=${value}>${texts.details[value]}</option>`)}
          </select>
        </label>
        <p class="error" role="alert">${error}</p>
        <div class="actions">
          <button type="button" class="text-button" onClick=${onClose}>${texts.edit.cancel}</button>
          <button type="submit" class="button" disabled=${busy}>${words.create}</button>
        </div>
      </form>
    <//>`;
  }
}
