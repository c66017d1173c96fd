// The form to change the password.

import { html } from "../ui/html.js";
import { changes } from "./sessions.js";
import { Form } from "../ui/form.js";
import { showToast } from "../ui/toasts.js";
import { request } from "../server.js";
import { signIn } from "../session.js";
import { texts } from "../texts.js";

const words = texts.account;

/** What a form does not let pass as a new password. */
export const NEW_PASSWORD = { minlength: 12, maxlength: 128, required: true };

export function Password({ email }) {
  const send = async (form) => {
    const body = Object.fromEntries(form);
    await request("PUT", "accounts/me/password", { body });
    // The change has ended this session too. If this fails, the next request asks to sign in.
    await signIn(email, body.new_password).catch(() => null);
  };
  const done = (_, form) => {
    form.reset();
    changes.value += 1;
    showToast(words.passwordChanged);
  };
  return html`<section class="narrow" aria-label=${words.changePassword}>
    <h2>${words.changePassword}</h2>
    <p class="hint">${words.passwordEffect}</p>
    <${Form} submit=${words.changePassword} send=${send} onDone=${done}>
      ${({ field }) => html`
        <input hidden autocomplete="username" defaultValue=${email} />
        ${field("current_password", words.currentPassword, null, { type: "password", autocomplete: "current-password", required: true })}
        ${field("new_password", words.newPassword, words.passwordRule, { type: "password", autocomplete: "new-password", ...NEW_PASSWORD })}
      `}
    <//>
  </section>`;
}
