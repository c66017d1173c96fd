// A modal dialog: the browser's own element, which traps the focus and closes with Esc.

import { Component, createRef, html } from "./html.js";

export class Dialog extends Component {
  element = createRef();

  componentDidMount() {
    this.opener = document.activeElement;
    this.element.current.showModal();
  }

  componentWillUnmount() {
    this.opener?.focus?.();
  }

  render({ title, onClose, children }) {
    return html`<dialog ref=${this.element} class="dialog" aria-labelledby="dialog-title" onClose=${onClose}>
      <h2 id="dialog-title">${title}</h2>
      ${children}
    </dialog>`;
  }
}
