// The URL of the page: which view it shows, and the filters of the gallery.

import { signal } from "./vendor/signals-core/signals-core.module.js";
import { base } from "./server.js";

const ROOT = new URL("app/", base).pathname;
const IMAGE = /^images\/([0-9a-f-]{36})$/;
/** The views that have a path of their own. */
const PATHS = { trash: "trash", account: "account", accounts: "admin/accounts", plans: "admin/plans", audit: "admin/audit" };

/** `{ view, image, query }`: `gallery` or a view with a path; the id of the image that is open, or null; and the search parameters. */
export const route = signal(read());

// Opening a picture does not scroll the gallery, so closing it must not either.
history.scrollRestoration = "manual";

addEventListener("popstate", () => {
  route.value = read();
});

function read() {
  const path = location.pathname.slice(ROOT.length);
  return {
    view: Object.keys(PATHS).find((view) => PATHS[view] === path) ?? "gallery",
    image: IMAGE.exec(path)?.[1] ?? null,
    query: new URLSearchParams(location.search),
  };
}

/** Returns the URL of a view, or of one of the images of the gallery, with these search parameters. */
export function urlOf({ view = "gallery", image = null, query = new URLSearchParams() }) {
  const search = query.toString();
  const path = PATHS[view] ?? (image ? `images/${image}` : "");
  return `${ROOT}${path}${search ? `?${search}` : ""}`;
}

/** Changes the URL without loading a page. `replace`: Back does not return to the current one. */
export function go(target, { replace = false } = {}) {
  const opensImage = Boolean(target.image) && !route.value.image;
  // Remembers that Back closes the image.
  const state = replace ? history.state : { opensImage };
  history[replace ? "replaceState" : "pushState"](state, "", urlOf(target));
  route.value = read();
}

/** Closes the image: goes back if the gallery is the previous page. */
export function closeImage() {
  if (!route.value.image) return;
  if (history.state?.opensImage) history.back();
  else go({ query: route.value.query }, { replace: true });
}

/** Follows a link within the page; other clicks open a new tab or window. */
export function follow(event, target) {
  if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(target);
}
