// The dialog for a user name, where the service believes whoever asks.

import { html } from "../ui/html.js";
import { Dialog } from "../ui/dialog.js";
import { setUserName, user } from "../session.js";
import { remember, remembered } from "../storage.js";
import { texts } from "../texts.js";

/** Where the page remembers that it has asked. */
const ASKED_KEY = "user-name-asked";

export function hasAsked() {
  return remembered(ASKED_KEY) !== null;
}

export function UserName({ onClose }) {
  const words = texts.userName;
  const close = () => {
    remember(ASKED_KEY, "yes");
    onClose();
  };
  const look = () => {
    setUserName(null);
    close();
  };
  const submit = (event) => {
    event.preventDefault();
    setUserName(new FormData(event.currentTarget).get("name").trim());
    close();
  };
  return html`<${Dialog} title=${words.title} onClose=${close}>
    <p>${words.warning}</p>
    <form onSubmit=${submit}>
      <label>
        ${words.label}
        <input
          name="name"
          autocomplete="username"
          autocapitalize="none"
          spellcheck=${false}
          required
          maxlength="255"
          pattern="[A-Za-z0-9._@:\\|+~=\\-]+"
          aria-describedby="user-name-rule"
          title=${words.rule}
          value=${user.peek()?.id ?? ""}
        />
      </label>
      <p class="hint" id="user-name-rule">${words.rule}</p>
      <div class="actions">
        <button type="button" class="text-button" onClick=${look}>${words.look}</button>
        ${user.peek() && html`<button type="button" class="text-button" onClick=${close}>${texts.edit.cancel}</button>`}
        <button type="submit" class="button">${words.submit}</button>
      </div>
    </form>
  <//>`;
}
