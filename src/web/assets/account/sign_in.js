// The dialog for e-mail address and password.

import { Component, html } from "../ui/html.js";
import { Dialog } from "../ui/dialog.js";
import { signIn } from "../session.js";
import { texts } from "../texts.js";

export class SignIn extends Component {
  state = { error: null, busy: false };

  submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    this.setState({ busy: true, error: null });
    try {
      await signIn(form.get("email"), form.get("password"));
      this.props.onClose();
    } catch (error) {
      const message = error.status === 401 ? texts.errors.wrongPassword : error.message;
      this.setState({ busy: false, error: message });
    }
  };

  render({ reason, onClose }, { error, busy }) {
    const words = texts.signIn;
    return html`<${Dialog} title=${words.title} onClose=${onClose}>
      ${reason && html`<p>${reason}</p>`}
      <form onSubmit=${this.submit}>
        <label>${words.email} <input type="email" name="email" autocomplete="username" required /></label>
        <label>${words.password} <input type="password" name="password" autocomplete="current-password" required /></label>
        <p class="error" role="alert">${error}</p>
        <div class="actions">
          <button type="button" class="text-button" onClick=${onClose}>${words.cancel}</button>
          <button type="submit" class="button" disabled=${busy}>${words.submit}</button>
        </div>
      </form>
    <//>`;
  }
}
