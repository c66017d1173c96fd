// Where the pictures of the page come from.

import { computed } from "../vendor/signals-core/signals-core.module.js";
import { filters } from "./filters.js";
import { route } from "../router.js";
import { user } from "../session.js";
import { visitor } from "../visitor/visitor.js";

/** The views with pictures: the path of the list, below the service's URL; null if there is none for this user. */
const SOURCES = {
  gallery: () => `app/tiles?${filters.value.query}`,
  trash: () => "app/trash/tiles",
  visitor: () => `${visitor.source}/tiles`,
  collection: ({ collection }) => user.value && `app/collections/${collection}/tiles`,
};

/** The path of the list that is shown. It is text, so that opening a picture, which changes the URL too, does not change it. */
export const source = computed(() => SOURCES[route.value.view]?.(route.value) ?? null);

/** Whether the pictures are those in the trash. */
export const isTrash = computed(() => route.value.view === "trash");

/** The name of the collection that is shown; null otherwise. Its pictures have an order that its owner can change. */
export const collection = computed(() => route.value.collection);
