// The URL of the page: which view it shows, and the filters of the gallery.

import { signal } from "./vendor/signals-core/signals-core.module.js";
import { base } from "./server.js";
import { visitor } from "./visitor/visitor.js";

const ROOT = new URL(visitor?.source ?? "app/", base).pathname;
const IMAGE = /(?:^|\/)images\/([0-9a-f-]{36})$/;
const COLLECTION = /^collections\/([\w-]+)/;
/** The views that have a path of their own. */
const PATHS = {
  trash: "trash",
  collections: "collections",
  account: "account",
  accounts: "admin/accounts",
  plans: "admin/plans",
  audit: "admin/audit",
};

/**
 * `{ view, collection, image, query }`: `gallery`, `collection`, `visitor` or a view with a path; the name of the collection and the id of
 * the image that are open, or null; and the search parameters.
 */
export const route = signal(read());

// Opening a picture does not scroll the gallery, so closing it must not either.
history.scrollRestoration = "manual";

addEventListener("popstate", () => {
  route.value = read();
});

function read() {
  const query = new URLSearchParams(location.search);
  // The page of a share or a public collection has one path.
  if (visitor) return { view: "visitor", collection: null, image: query.get("image"), query };
  const path = location.pathname.slice(ROOT.length);
  const collection = COLLECTION.exec(path)?.[1] ?? null;
  return {
    view: collection ? "collection" : (Object.keys(PATHS).find((view) => PATHS[view] === path) ?? "gallery"),
    collection,
    image: IMAGE.exec(path)?.[1] ?? null,
    query,
  };
}

/**
 * Returns the URL of a view, or of one of its images, with these search parameters. Without a view, an image is one of the list that is
 * shown, and the rest the gallery.
 */
export function urlOf({ view = "gallery", collection = null, image = null, query = new URLSearchParams() }) {
  if (visitor) return image ? `${ROOT}?image=${image}` : ROOT;
  const search = query.toString();
  const list = collection ?? (image && route.peek().collection);
  const path = PATHS[view] ?? [list && `collections/${list}`, image && `images/${image}`].filter(Boolean).join("/");
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
  else go({ ...route.value, image: null }, { replace: true });
}

/** Follows a link within the page; other clicks open a new tab or window. */
export function follow(event, target) {
  if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(target);
}
