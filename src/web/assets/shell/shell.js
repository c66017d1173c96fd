// The whole page: the bar at the top, the gallery, and what lies over it.

import { Component, html, observer } from "../ui/html.js";
import { Toasts } from "../ui/toasts.js";
import { Gallery } from "../gallery/gallery.js";
import { Header } from "./header.js";
import { SignIn } from "../account/sign_in.js";
import { UserName, hasAsked } from "../account/user_name.js";
import { expired, identity, user } from "../session.js";
import { texts } from "../texts.js";

export class Shell extends Component {
  state = { dialog: identity === "name" && !user.peek() && !hasAsked() ? "identify" : null };

  open = (dialog) => this.setState({ dialog });
  close = () => this.setState({ dialog: null });

  render(_, { dialog }) {
    return html`<a class="skip-link" href="#content">${texts.skipToContent}</a>
      <${Header} onIdentify=${() => this.open("identify")} />
      <${Gallery} />
      <${Toasts} />
      ${dialog === "identify" && html`<${Identify} onClose=${this.close} />`} <${Expired} />`;
  }
}

function Identify({ onClose }) {
  return identity === "name" ? html`<${UserName} onClose=${onClose} />` : html`<${SignIn} onClose=${onClose} />`;
}

const Expired = observer(
  () =>
    expired.value &&
    html`<${SignIn} reason=${texts.signIn.expired} onClose=${() => { expired.value = false; }} />`,
);
