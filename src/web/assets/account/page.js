// The frame of the pages for people with accounts: it shows them only to those who may see them.

import { Component, createRef, html, observer } from "../ui/html.js";
import { Failure } from "../ui/failure.js";
import { expired, identity, isStarted, start, startFailure, user } from "../session.js";
import { uploads } from "../upload/sources.js";
import { texts } from "../texts.js";

const words = texts.account;

/** The user whose page this is. The page stays under the dialog to sign in again, with what was typed. */
let reader = null;

export const Page = observer(({ title, needsAdmin, children }) => {
  if (user.value || !expired.value) reader = user.value;
  return html`<main id="content" tabindex="-1" class="page">
    <${Heading}>${title}<//>
    ${obstacle(needsAdmin) ?? html`<div key=${reader.id}>${children}</div>`}
  </main>`;
});

/** Returns why the page is not shown; null if it is. */
function obstacle(needsAdmin) {
  const notice = (text, more) => html`<div class="notice"><p>${text}</p>${more}</div>`;
  if (identity !== "account") return notice(words.noAccounts);
  if (startFailure.value) return html`<${Failure} message=${startFailure.value} onRetry=${start} />`;
  if (!isStarted.value) return html`<p class="progress" role="status">${words.loading} …</p>`;
  if (!reader) return notice(words.signedOut, html`<button class="button" onClick=${() => uploads.askWho()}>${texts.nav.signIn}</button>`);
  return needsAdmin && !reader.admin ? notice(words.adminsOnly) : null;
}

class Heading extends Component {
  element = createRef();

  componentDidMount() {
    scrollTo(0, 0);
    // After a link, reading continues here. A page that the browser has just loaded leaves the focus where it is.
    if (document.activeElement !== document.body) this.element.current.focus();
  }

  render({ children }) {
    return html`<h1 ref=${this.element} tabindex="-1">${children}</h1>`;
  }
}
