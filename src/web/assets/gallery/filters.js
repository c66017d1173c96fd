// The filters of the gallery. They are the search parameters of the page's URL, so that they survive a reload and can be shared.

import { computed } from "../vendor/signals-core/signals-core.module.js";
import { go, route } from "../router.js";
import { user } from "../session.js";

/** The parameters that are filters, as the API names them. */
const NAMES = ["user_id", "tags", "collection", "start_date", "end_date"];
const EVERYONE = "everyone";

/**
 * `{ scope, values, query }`: `mine`, `everyone` or the id of another user; the filters that are set; and the query of a
 * request.
 */
export const filters = computed(() => {
  const { query } = route.value;
  const values = Object.fromEntries(NAMES.map((name) => [name, query.get(name)]).filter(([, value]) => value));
  const me = user.value?.id;
  const scope = values.user_id ?? (me && query.get("show") !== EVERYONE ? "mine" : EVERYONE);
  const request = scope === "mine" ? { ...values, user_id: me } : values;
  return { scope, values, query: new URLSearchParams(request) };
});

/** Changes whose pictures are shown: `mine` or `everyone`. */
export function setScope(scope) {
  change((query) => {
    query.delete("user_id");
    if (scope === EVERYONE) query.set("show", EVERYONE);
    else query.delete("show");
  });
}

/** Changes filters; empty values remove them. */
export function setFilters(values) {
  change((query) => {
    for (const [name, value] of Object.entries(values)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
  });
}

export function clearFilters() {
  change((query) => NAMES.forEach((name) => query.delete(name)));
}

function change(edit) {
  const query = new URLSearchParams(route.value.query);
  edit(query);
  go({ query });
}
