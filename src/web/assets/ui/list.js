// Entries of the API as a table, page by page, with the dialogs that change them. On a phone, each row is a list.

import { Component, createRef, html } from "./html.js";
import { FormDialog } from "./form.js";
import { showToast } from "./toasts.js";
import { request } from "../server.js";
import { texts } from "../texts.js";

const words = texts.account;
const idOf = ({ id, name }) => id ?? name;

/**
 * `path`: where the API has the entries; `first`: its first page, with the entries under `name`. `columns` is a function of this
 * component that returns `[label, show]` of each; `show` gets an entry. `actions`: what is next to the title.
 */
export class List extends Component {
  section = createRef();
  state = { entries: this.props.first[this.props.name], next: this.props.first.next_page_token, busy: false, error: null, dialog: null };

  /** A button that opens a dialog. `form` returns the properties of the form; `name` says which entry it is about. */
  button = (label, name, form, kind) => {
    const open = () => this.setState({ dialog: { title: name ? `${label}: ${name}` : label, submit: label, ...form() } });
    return rowButton(label, name, open, kind);
  };

  /** A button that asks whether to delete an entry. */
  deletion = (entry, name, form) =>
    this.button(words.delete, name, () => ({
      isDanger: true,
      send: () => request("DELETE", `${this.props.path}/${idOf(entry)}`),
      onDone: () => {
        this.remove(entry);
        this.props.onRemove?.(entry);
        showToast(words.deleted(name));
      },
      ...form,
    }));

  /** Shows a changed entry in its place, and a new one first. */
  put = (entry) => {
    const { entries } = this.state;
    const isIt = (other) => idOf(other) === idOf(entry);
    this.setState({ entries: entries.some(isIt) ? entries.map((other) => (isIt(other) ? entry : other)) : [entry, ...entries] });
    showToast(words.saved);
  };

  remove = (entry) => {
    // What had the focus is gone too.
    const focus = () => this.section.current.querySelector("h2").focus();
    this.setState(({ entries }) => ({ entries: entries.filter((other) => idOf(other) !== idOf(entry)) }), focus);
  };

  more = async () => {
    const { path, name } = this.props;
    const { entries, next, busy } = this.state;
    if (busy) return;
    this.setState({ busy: true, error: null });
    try {
      const page = await request("GET", path, { query: { limit: PAGE_SIZE, page_token: next } });
      const focus = () => this.section.current.querySelectorAll("tbody tr")[entries.length]?.focus();
      this.setState({ entries: [...this.state.entries, ...page[name]], next: page.next_page_token, busy: false }, focus);
    } catch (error) {
      this.setState({ busy: false, error: error.message });
    }
  };

  render({ title, text, empty, columns, actions }, { entries, next, busy, error, dialog }) {
    const cells = columns(this);
    // The roles stay when the rows are shown as lists.
    const row = (entry) => html`<tr key=${idOf(entry)} role="row" tabindex="-1">
      ${cells.map(([label, show]) => html`<td role="cell" data-label=${label}>${show(entry)}</td>`)}
    </tr>`;
    return html`<section ref=${this.section} aria-label=${title}>
      <div class="head"><h2 tabindex="-1">${title}</h2> ${actions?.(this, entries)}</div>
      ${text && html`<p class="hint">${text}</p>`}
      ${entries.length === 0
        ? html`<p class="progress">${empty}</p>`
        : html`<table role="table" aria-label=${title}>
            <thead role="rowgroup">
              <tr role="row">${cells.map(([label]) => html`<th role="columnheader" scope="col">${label || html`<span class="hidden">${words.actions}</span>`}</th>`)}</tr>
            </thead>
            <tbody role="rowgroup">${entries.map(row)}</tbody>
          </table>`}
      <p class="error" role="alert">${error}</p>
      ${next && html`<button class="text-button" onClick=${this.more}>${busy ? `${words.loading} …` : error ? texts.gallery.retry : words.more}</button>`}
      ${dialog && html`<${FormDialog} ...${dialog} onClose=${() => this.setState({ dialog: null })} />`}
    </section>`;
  }
}

export const PAGE_SIZE = 50;

/** A button in the row of an entry; its name says which. */
export function rowButton(label, name, onClick, kind = "text-button") {
  return html`<button class=${kind} aria-label=${name && `${label}: ${name}`} onClick=${onClick}>${label}</button>`;
}
