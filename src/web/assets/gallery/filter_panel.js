// The form for the filters, and one chip for each filter that is set.

import { Component, html, observer } from "../ui/html.js";
import { icon } from "../ui/icons.js";
import { MENU } from "../ui/menus.js";
import { clearFilters, filters, setFilters } from "./filters.js";
import { request } from "../server.js";
import { user } from "../session.js";
import { localDate } from "../format.js";
import { texts } from "../texts.js";

const words = texts.filters;

export class FilterPanel extends Component {
  state = { collections: [] };

  /** The names of the user's collections are suggestions only: others' public collections are filters too. */
  load = async (event) => {
    if (!event.currentTarget.open || !user.peek()) return;
    const page = await request("GET", "collections", { query: { limit: 100 } }).catch(() => null);
    this.setState({ collections: page?.collections.map(({ name }) => name) ?? [] });
  };

  submit = (event) => {
    event.preventDefault();
    const values = [...new FormData(event.currentTarget)].map(([name, value]) => [name, value.trim()]);
    setFilters(Object.fromEntries(values));
    event.currentTarget.closest("details").open = false;
  };

  clear = (event) => {
    event.currentTarget.form.reset();
    clearFilters();
  };

  render(_, { collections }) {
    return html`<details class="menu" name=${MENU} onToggle=${this.load}>
      <summary class="icon-button" aria-label=${words.label}>${icon("filter")}</summary>
      <form class="menu-panel" onSubmit=${this.submit}>
        <${Fields} collections=${collections} />
        <div class="actions">
          <button type="button" class="text-button" onClick=${this.clear}>${words.clear}</button>
          <button type="submit" class="button">${words.apply}</button>
        </div>
      </form>
    </details>`;
  }
}

const Fields = observer(({ collections }) => {
  const { values } = filters.value;
  const field = (name, label, properties) =>
    html`<label>${label} <input name=${name} defaultValue=${values[name] ?? ""} autocomplete="off" ...${properties} /></label>`;
  // The key replaces the fields when the filters change; until then, they keep what was typed.
  return html`<div key=${JSON.stringify(values)}>
    ${field("tags", words.tags, { title: words.tagsHint })}
    ${field("collection", words.collection, { list: "collections" })}
    <datalist id="collections">${collections.map((name) => html`<option value=${name}></option>`)}</datalist>
    ${field("user_id", words.user, {})} ${field("start_date", words.from, { type: "date" })}
    ${field("end_date", words.to, { type: "date" })}
  </div>`;
});

const CHIPS = {
  tags: words.tag,
  collection: words.inCollection,
  user_id: words.ofUser,
  start_date: (value) => words.fromDay(localDate(value)),
  end_date: (value) => words.toDay(localDate(value)),
};

export const Chips = observer(() => {
  const set = Object.entries(filters.value.values);
  if (set.length === 0) return null;
  return html`<ul class="chips" aria-label=${words.label}>
    ${set.map(([name, value]) => {
      const label = CHIPS[name](value);
      return html`<li key=${name}>
        <button class="chip" aria-label=${words.remove(label)} onClick=${() => setFilters({ [name]: "" })}>
          ${label} ${icon("close")}
        </button>
      </li>`;
    })}
  </ul>`;
});
