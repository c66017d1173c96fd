// The form for what the owner of a picture can change.

import { Component, html } from "../ui/html.js";
import { request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.edit;

export class Edit extends Component {
  state = { busy: false, error: null, details: {} };

  submit = async (event) => {
    event.preventDefault();
    const { title, description, tags, visibility } = Object.fromEntries(new FormData(event.currentTarget));
    const body = {
      title: title.trim() || null,
      description: description.trim() || null,
      tags: tags.split(",").map((tag) => tag.trim()).filter(Boolean),
      visibility,
    };
    this.setState({ busy: true, error: null, details: {} });
    try {
      this.props.onSaved(await request("PATCH", `images/${this.props.image.image_id}`, { body }));
    } catch (error) {
      this.setState({ busy: false, error: error.message, details: error.details ?? {} });
    }
  };

  /** Esc leaves the form, and not the picture. */
  press = (event) => {
    event.stopPropagation();
    if (event.key === "Escape") this.props.onCancel();
  };

  render({ image, onCancel }, { busy, error, details }) {
    const rule = (name) => details[name] && html`<span class="error">${details[name]}</span>`;
    return html`<form onSubmit=${this.submit} onKeyDown=${this.press}>
      <label>${texts.edit.title} <input name="title" value=${image.title ?? ""} maxlength="200" autofocus /> ${rule("title")}</label>
      <label>
        ${words.description}
        <textarea name="description" rows="4" maxlength="1000" value=${image.description ?? ""}></textarea> ${rule("description")}
      </label>
      <label>${words.tags} <input name="tags" value=${image.tags.join(", ")} autocomplete="off" /> ${rule("tags")}</label>
      <label>
        ${words.visibility}
        <select name="visibility" value=${image.visibility}>
          <option value="public">${texts.details.public}</option>
          <option value="private">${texts.details.private}</option>
        </select>
      </label>
      <p class="error" role="alert">${error}</p>
      <div class="actions">
        <button type="button" class="text-button" onClick=${onCancel}>${words.cancel}</button>
        <button type="submit" class="button" disabled=${busy}>${words.save}</button>
      </div>
    </form>`;
  }
}
