// The user's collections, newest first.

import { Component, createRef, html, observer } from "../ui/html.js";
import { NewCollection } from "./new.js";
import { SignedOut } from "./page.js";
import { averageColor } from "../gallery/placeholder.js";
import { srcset, urlOfSize } from "../gallery/tiles.js";
import { follow, urlOf } from "../router.js";
import { request } from "../server.js";
import { isStarted, startFailure, start, user } from "../session.js";
import { Failure } from "../ui/failure.js";
import { icon } from "../ui/icons.js";
import { texts } from "../texts.js";

const words = texts.collections;
const PAGE_SIZE = 30;

export const Collections = observer(() => {
  const failure = startFailure.value;
  return html`<main id="content" tabindex="-1" aria-label=${words.title}>
    ${failure && html`<${Failure} message=${failure} onRetry=${start} />`}
    ${isStarted.value && (user.value ? html`<${Cards} key=${user.value.id} />` : html`<${SignedOut} />`)}
  </main>`;
});

class Cards extends Component {
  end = createRef();
  state = { cards: [], next: null, status: "loading", error: null, creates: false };

  componentDidMount() {
    scrollTo(0, 0);
    this.load();
    this.views = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && this.state.status === "ready" && this.load(), {
      rootMargin: "100%",
    });
    this.views.observe(this.end.current);
  }

  componentWillUnmount() {
    this.views.disconnect();
  }

  load = async () => {
    const { cards, next } = this.state;
    this.setState({ status: "loading" });
    try {
      const query = { limit: PAGE_SIZE, ...(next && { page_token: next }) };
      const page = await request("GET", "app/collection-cards", { query });
      if (!this.end.current) return;
      this.setState({ cards: [...cards, ...page.cards], next: page.next, status: page.next ? "ready" : "complete" });
      // The observer reports only changes.
      this.views.unobserve(this.end.current);
      this.views.observe(this.end.current);
    } catch (error) {
      if (this.end.current) this.setState({ status: "failed", error });
    }
  };

  render(_, { cards, status, error, creates }) {
    const create = html`<button class="button" onClick=${() => this.setState({ creates: true })}>${words.new}</button>`;
    const isEmpty = status === "complete" && cards.length === 0;
    return html`<div class="summary"><h1>${words.title}</h1><div class="spacer"></div>${!isEmpty && create}</div>
      ${isEmpty && html`<div class="notice"><h2>${words.noneTitle}</h2><p>${words.none}</p>${create}</div>`}
      <ul class="cards">${cards.map((card) => html`<${Card} key=${card.name} ...${card} />`)}</ul>
      ${status === "loading" && html`<p class="progress" role="status">${words.loading} …</p>`}
      ${status === "failed" && html`<${Failure} message=${error.message} onRetry=${this.load} />`}
      <div ref=${this.end}></div>
      ${creates && html`<${NewCollection} onClose=${() => this.setState({ creates: false })} />`}`;
  }
}

function Card({ name, count, visibility, cover }) {
  const target = { view: "collection", collection: name };
  return html`<li>
    <a class="card" href=${urlOf(target)} onClick=${(event) => follow(event, target)}>
      <span class="cover" style=${cover && { backgroundColor: averageColor(cover.placeholder) }}>
        ${cover?.sizes.length > 0
          ? html`<img src=${urlOfSize(cover, cover.sizes[0])} srcset=${srcset(cover, cover.sizes)} sizes="320px" alt="" loading="lazy" decoding="async" onError=${hide} />`
          : icon("folder")}
      </span>
      <strong>${name}</strong> <span class="muted">${texts.gallery.total(count)} · ${words[visibility]}</span>
    </a>
  </li>`;
}

/** The URLs expire after hours. */
function hide(event) {
  event.currentTarget.style.visibility = "hidden";
}
