// A modal dialog: the browser's own element, which traps the focus and closes with Esc.

import { Component, createRef, html } from "./html.js";

export class Dialog extends Component {
  element = createRef();

  componentDidMount() {
    this.opener = document.activeElement;
    this.element.current.showModal();
  }

  componentWillUnmount() {
    // Until the dialog has left the document, nothing outside of it can be focused.
    queueMicrotask(() => this.opener?.focus?.());
  }

  /** The `close` event comes later. A key that is pressed until then would have no effect. */
  cancel = (event) => {
    event.preventDefault();
    this.props.onClose();
  };

  render({ title, onClose, children }) {
    return html`<dialog ref=${this.element} class="dialog" aria-label=${title} onCancel=${this.cancel} onClose=${onClose}>
      <h2>${title}</h2>
      ${children}
    </dialog>`;
  }
}
