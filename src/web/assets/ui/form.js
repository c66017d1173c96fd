// Forms whose errors are next to their fields.

import { Component, createRef, html } from "./html.js";
import { Dialog } from "./dialog.js";
import { texts } from "../texts.js";

/**
 * `send` gets the data of the form and returns a promise; `onDone` gets its result. `children` is a function that shows the fields
 * with what it gets: `field` and `checks`. `conflict` is the field that a 409 is about. `cancel` is the label for `onCancel`.
 */
export class Form extends Component {
  element = createRef();
  state = { busy: false, error: null };

  submit = async (event) => {
    event.preventDefault();
    this.setState({ busy: true, error: null });
    try {
      const result = await this.props.send(new FormData(this.element.current));
      this.setState({ busy: false });
      this.props.onDone(result, this.element.current);
    } catch (error) {
      this.setState({ busy: false, error }, () => this.element.current?.querySelector("[aria-invalid], [type=submit]").focus());
    }
  };

  /** Returns the sentence about a field that the service does not accept. */
  ruleOf(names, label) {
    const { error } = this.state;
    const details = error?.details ?? {};
    const name = names.find((name) => details[name]);
    const rule = name ? `${label} ${details[name]}.` : error?.status === 409 && names.includes(this.props.conflict) && error.message;
    if (rule) this.isMarked = true;
    return rule || null;
  }

  field = (name, label, hint, { options, value, ...attributes } = {}) => {
    const rule = this.ruleOf([name], label);
    const id = `${name}-note`;
    const common = { name, "aria-describedby": id, "aria-invalid": rule && "true", ...attributes };
    // Default values, because rendering would put others back over what was typed.
    const control = options
      ? html`<select ...${common}>${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}</select>`
      : html`<input defaultValue=${value} ...${common} />`;
    return html`<label>${label} ${control}</label> <${Note} id=${id} hint=${hint} rule=${rule} />`;
  };

  /** `boxes`: `[value, label, hint, isChecked]` of each. */
  checks = (name, legend, boxes) => {
    const rule = this.ruleOf([name, ...boxes.map(([value]) => value)], legend);
    const id = `${name}-note`;
    const box = ([value, label, hint, isChecked]) => html`<label class="check">
      <input type="checkbox" name=${name} value=${value} defaultChecked=${isChecked} aria-describedby=${id} aria-invalid=${rule && "true"} />
      <span>${label} <small>${hint}</small></span>
    </label>`;
    return html`<fieldset><legend>${legend}</legend> ${boxes.map(box)} <${Note} id=${id} rule=${rule} /></fieldset>`;
  };

  render({ submit, isDanger, cancel = texts.edit.cancel, onCancel, children }, { busy, error }) {
    this.isMarked = false;
    const fields = children?.(this);
    return html`<form ref=${this.element} onSubmit=${this.submit}>
      ${fields}
      <p class="error" role="alert">${!this.isMarked && error?.message}</p>
      <div class="actions">
        ${onCancel && html`<button type="button" class="text-button" onClick=${onCancel}>${cancel}</button>`}
        <button type="submit" class=${isDanger ? "button danger" : "button"} disabled=${busy}>${submit}</button>
      </div>
    </form>`;
  }
}

function Note({ id, hint, rule }) {
  return html`<p id=${id} class="hint">${rule ? html`<span class="error">${rule}</span>` : hint}</p>`;
}

/** A form in a dialog. It closes when the form is done. */
export function FormDialog({ title, text, onClose, onDone, ...form }) {
  const done = (result) => {
    onClose();
    onDone(result);
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    ${text && html`<p>${text}</p>`}
    <${Form} ...${form} onCancel=${onClose} onDone=${done} />
  <//>`;
}
