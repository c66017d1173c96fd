// The bar at the top: the pages, the filters of the gallery, and the user.

import { html, observer } from "../ui/html.js";
import { icon } from "../ui/icons.js";
import { MENU } from "../ui/menus.js";
import { showToast } from "../ui/toasts.js";
import { assetUrl } from "../assets.js";
import { base } from "../server.js";
import { identity, isStarted, signOut, user } from "../session.js";
import { FilterPanel } from "../gallery/filter_panel.js";
import { UploadMenu } from "../upload/menu.js";
import { follow, route, urlOf } from "../router.js";
import { texts } from "../texts.js";

export const Header = observer(({ onIdentify }) => {
  const { view } = route.value;
  const page = (target, label, isCurrent) =>
    html`<a href=${urlOf(target)} aria-current=${isCurrent ? "page" : null} onClick=${(event) => follow(event, target)}>${label}</a>`;
  return html`<header class="bar">
    <nav aria-label=${texts.nav.label}>
      <img class="wide-only" src=${assetUrl("icon.svg")} alt="" width="24" height="24" />
      ${page({}, texts.title, view === "gallery")} ${page({ view: "collections" }, texts.collections.title, view.startsWith("collection"))}
    </nav>
    <div class="spacer"></div>
    <${UploadMenu} /> ${view === "gallery" && html`<${FilterPanel} />`}
    <a class="text-button wide-only" href=${new URL("docs/", base)}>${texts.nav.api}</a>
    <${UserButton} onIdentify=${onIdentify} />
  </header>`;
});

const UserButton = observer(({ onIdentify }) => {
  if (!isStarted.value) return null;
  const name = user.value?.email ?? user.value?.id;
  if (!name) {
    if (identity !== "name") return html`<button class="button" onClick=${onIdentify}>${texts.nav.signIn}</button>`;
    // The text is too long for phones.
    const label = texts.nav.chooseName;
    return html`<button class="button" aria-label=${label} onClick=${onIdentify}>${icon("user")} <span class="wide-only">${label}</span></button>`;
  }
  const [label, act] = identity === "name" ? [texts.nav.changeName, onIdentify] : [texts.nav.signOut, leave];
  const change = identity !== "gateway" && html`<button class="text-button" onClick=${act}>${label}</button>`;
  return html`<details class="menu" name=${MENU}>
    <summary class="icon-button" aria-label=${texts.nav.account(name)}>${icon("user")}</summary>
    <div class="menu-panel">
      <p class="user-name">${name}</p>
      <${PageLink} view="trash" label=${texts.trash.title} />
      ${identity === "account" && html`<${PageLink} view="account" label=${texts.account.title} />`}
      ${user.value.admin && html`<${PageLink} view="accounts" label=${texts.accounts.administration} />`}
      ${change}
    </div>
  </details>`;
});

async function leave() {
  try {
    await signOut();
  } catch (error) {
    showToast(error.message);
  }
}

function PageLink({ view, label }) {
  return html`<a class="text-button" href=${urlOf({ view })} onClick=${(event) => follow(event, { view })}>${label}</a>`;
}
