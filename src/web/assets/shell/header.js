// The bar at the top: whose pictures are shown, the filters, and the user.

import { html, observer } from "../ui/html.js";
import { icon } from "../ui/icons.js";
import { MENU } from "../ui/menus.js";
import { showToast } from "../ui/toasts.js";
import { assetUrl } from "../assets.js";
import { base } from "../server.js";
import { identity, isStarted, signOut, user } from "../session.js";
import { filters, setScope } from "../gallery/filters.js";
import { FilterPanel } from "../gallery/filter_panel.js";
import { UploadMenu } from "../upload/menu.js";
import { follow, route, urlOf } from "../router.js";
import { texts } from "../texts.js";

export const Header = observer(({ onIdentify }) => {
  const { view } = route.value;
  const scope = view === "gallery" ? filters.value.scope : null;
  const choice = (value, label) =>
    html`<button aria-pressed=${scope === value ? "true" : "false"} onClick=${() => setScope(value)}>${label}</button>`;
  return html`<header class="bar">
    <a class="brand" aria-label=${texts.title} href=${urlOf({})} onClick=${(event) => follow(event, {})}><img src=${assetUrl("icon.svg")} alt="" width="24" height="24" /> <span>${texts.title}</span></a>
    ${user.value && html`<div class="segments" role="group" aria-label=${texts.gallery.label}>
      ${choice("mine", texts.nav.mine)} ${choice("everyone", texts.nav.everyone)}
    </div>`}
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
    const label = identity === "name" ? texts.nav.chooseName : texts.nav.signIn;
    return html`<button class="button" onClick=${onIdentify}>${label}</button>`;
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
