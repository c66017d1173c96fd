// The form for what the owner of a picture can change.

import { Component, createRef, html } from "../ui/html.js";
import { request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.edit;

export class Edit extends Component {
  form = createRef();
  state = { busy: false, error: null, details: {} };

  componentDidMount() {
    // `autofocus` works only once in a page.
    this.form.current.elements.title.focus();
    addEventListener("keydown", this.press, { capture: true });
  }

  componentWillUnmount() {
    removeEventListener("keydown", this.press, { capture: true });
  }

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

  /** Wherever the focus is, keys are not for the picture: Esc leaves the form only. */
  press = (event) => {
    if (event.target.closest?.("dialog")) return;
    event.stopPropagation();
    if (event.key === "Escape") this.props.onCancel();
  };

  render({ image, onCancel }, { busy, error, details }) {
    const rule = (name) => details[name] && html`<span class="error">${details[name]}</span>`;
    // Default values, because rendering would put others back over what was typed.
    return html`<form ref=${this.form} onSubmit=${this.submit}>
      <label>${words.title} <input name="title" defaultValue=${image.title ?? ""} maxlength="200" /> ${rule("title")}</label>
      <label>
        ${words.description}
        <textarea name="description" rows="4" maxlength="1000" defaultValue=${image.description ?? ""}></textarea> ${rule("description")}
      </label>
      <label>${words.tags} <input name="tags" defaultValue=${image.tags.join(", ")} autocomplete="off" /> ${rule("tags")}</label>
      <label>
        ${words.visibility}
        <select name="visibility">
          ${["public", "private"].map(
            (value) => html`<option value=${value} selected=${value === image.visibility}>${texts.details[value]}</option>`,
          )}
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
