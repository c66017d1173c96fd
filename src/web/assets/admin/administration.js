// The pages for administrators.

import { html, observer } from "../ui/html.js";
import { Accounts } from "./accounts.js";
import { Audit } from "./audit.js";
import { Plans } from "./plans.js";
import { Page } from "../account/page.js";
import { follow, route, urlOf } from "../router.js";
import { texts } from "../texts.js";

const PAGES = { accounts: Accounts, plans: Plans, audit: Audit };

export const Administration = observer(() => {
  const { view } = route.value;
  const tab = (target) =>
    html`<a class="text-button" href=${urlOf(target)} aria-current=${target.view === view ? "page" : null} onClick=${(event) => follow(event, target)}>${texts[target.view].title}</a>`;
  return html`<${Page} title=${texts.accounts.administration} needsAdmin>
    <nav class="tabs" aria-label=${texts.accounts.administration}>${Object.keys(PAGES).map((name) => tab({ view: name }))}</nav>
    ${PAGES[view] && html`<${PAGES[view]} key=${view} />`}
  <//>`;
});
