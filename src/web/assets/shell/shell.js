// The whole page: the bar at the top, the gallery or another page, and what lies over it.

import { Component, html, observer } from "../ui/html.js";
import { Toasts } from "../ui/toasts.js";
import { Collections } from "../collections/cards.js";
import { Gallery } from "../gallery/gallery.js";
import "./title.js";
import { Header } from "./header.js";
import { Account } from "../account/account.js";
import { Administration } from "../admin/administration.js";
import { SignIn } from "../account/sign_in.js";
import { UserName, hasAsked } from "../account/user_name.js";
import { Viewer } from "../viewer/viewer.js";
import { DropSign, UploadPanel } from "../upload/panel.js";
import { uploads } from "../upload/sources.js";
import { route } from "../router.js";
import { expired, identity, isStarted, user } from "../session.js";
import { effect } from "../vendor/signals-core/signals-core.module.js";
import { texts } from "../texts.js";

export class Shell extends Component {
  state = { dialog: null };

  componentDidMount() {
    const stop = effect(() => {
      if (!isStarted.value) return;
      if (identity === "name" && !user.peek() && !hasAsked()) this.open("identify");
      queueMicrotask(() => stop());
    });
    uploads.askWho = (then) => this.open("identify", then);
  }

  open = (dialog, then = null) => this.setState({ dialog, then });

  close = () => {
    const { then } = this.state;
    this.setState({ dialog: null, then: null });
    if (user.peek()) then?.();
  };

  render(_, { dialog }) {
    return html`<a class="skip-link" href="#content">${texts.skipToContent}</a>
      <${Header} onIdentify=${() => this.open("identify")} />
      <${UploadPanel} /> <${Main} /> <${Viewer} />
      <${DropSign} /> <${Toasts} />
      ${dialog === "identify" && html`<${Identify} onClose=${this.close} />`} <${Expired} />`;
  }
}

/** The pages other than the gallery, by view. */
const PAGES = { collections: Collections, account: Account, accounts: Administration, plans: Administration, audit: Administration };

const Main = observer(() => html`<${PAGES[route.value.view] ?? Gallery} />`);

function Identify({ onClose }) {
  return identity === "name" ? html`<${UserName} onClose=${onClose} />` : html`<${SignIn} onClose=${onClose} />`;
}

const Expired = observer(
  () =>
    expired.value &&
    html`<${SignIn} reason=${texts.signIn.expired} onClose=${() => { expired.value = false; }} />`,
);
