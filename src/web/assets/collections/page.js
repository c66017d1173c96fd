// What the page of a collection has in addition to the pictures: who can see it, how to add pictures, and what to do if there are none.

import { Component, html, observer } from "../ui/html.js";
import { announcement } from "./keys.js";
import "./drag.js";
import { collection } from "../gallery/source.js";
import { details, failure, status, total } from "../gallery/tiles.js";
import { follow, go, urlOf } from "../router.js";
import { base, request } from "../server.js";
import { identity, isStarted, user } from "../session.js";
import { FilePicker } from "../upload/menu.js";
import { ShareDialog } from "../sharing/share_dialog.js";
import { uploads } from "../upload/sources.js";
import { copy } from "../ui/clipboard.js";
import { icon } from "../ui/icons.js";
import { MENU } from "../ui/menus.js";
import { Question } from "../ui/question.js";
import { showToast } from "../ui/toasts.js";
import { texts } from "../texts.js";

const words = texts.collections;
const ALL = { view: "collections" };

export const CollectionHead = observer(() => {
  return html`<div class="summary">
      <h1>${collection.value}</h1>
      <p role="status">${total.value !== null && texts.gallery.total(total.value)}</p>
      ${details.value && html`<${Actions} key=${collection.value} visibility=${details.value.visibility} />`}
    </div>
    ${total.value > 1 && html`<p class="explanation">${matchMedia("(hover: none)").matches ? words.orderByTouch : words.order}</p>`}
    <p class="hidden" role="status">${announcement.value}</p>`;
});

class Actions extends Component {
  state = { asks: false, shares: false };

  render({ visibility }, { asks, shares }) {
    const choice = (value, label) =>
      html`<button aria-pressed=${visibility === value ? "true" : "false"} onClick=${() => setVisibility(value)}>${label}</button>`;
    const close = () => this.setState({ asks: false });
    return html`<div class="spacer"></div>
      <div class="segments" role="group" aria-label=${texts.edit.visibility} title=${texts.details[visibility]}>
        ${choice("public", words.public)} ${choice("private", words.private)}
      </div>
      ${visibility === "public" && html`<button class="text-button" onClick=${copyLink}>${words.copyLink}</button>`}
      <button class="text-button" onClick=${() => this.setState({ shares: true })}>${texts.sharing.share}</button>
      <details class="menu" name=${MENU}>
        <summary class="button">${words.add}</summary>
        <div class="menu-panel"><${FilePicker} /> <p class="hint">${words.addHint}</p></div>
      </details>
      <button class="icon-button" title=${words.delete} aria-label=${words.delete} onClick=${() => this.setState({ asks: true })}>
        ${icon("trash")}
      </button>
      ${shares && html`<${ShareDialog} target=${{ collection: collection.peek() }} isPublic=${visibility === "public"} onClose=${() => this.setState({ shares: false })} />`}
      ${asks && html`<${Question} title=${words.delete} text=${words.question(collection.peek())} action=${words.delete} onConfirm=${deleteIt} onClose=${close} />`}`;
  }
}

function copyLink() {
  copy(new URL(`c/${collection.peek()}`, base).href);
}

async function setVisibility(visibility) {
  const name = collection.peek();
  try {
    await request("PATCH", `collections/${name}`, { body: { visibility } });
    if (collection.peek() === name) details.value = { ...details.peek(), visibility };
  } catch (error) {
    showToast(error.message);
  }
}

async function deleteIt() {
  const name = collection.peek();
  try {
    await request("DELETE", `collections/${name}`);
    if (collection.peek() === name) go(ALL);
    showToast(words.deleted(name));
  } catch (error) {
    showToast(error.message);
  }
}

/** What the page says instead of pictures; null if it has some. */
export const CollectionNotice = observer(() => {
  if (isStarted.value && !user.value) return html`<${SignedOut} />`;
  if (status.value === "complete") return html`<div class="notice"><h2>${words.emptyTitle}</h2><p>${words.empty}</p></div>`;
  const isForeign = failure.value.status === 403;
  const [title, label, target] = isForeign
    ? [words.foreign, words.show, { query: new URLSearchParams({ show: "everyone", collection: collection.value }) }]
    : [words.unknown, words.all, ALL];
  return html`<div class="notice">
    <h2>${title}</h2>
    <a class="button" href=${urlOf(target)} onClick=${(event) => follow(event, target)}>${label}</a>
  </div>`;
});

export function SignedOut() {
  return html`<div class="notice">
    <p>${words.signedOut}</p>
    <button class="button" onClick=${() => uploads.askWho()}>${identity === "name" ? texts.nav.chooseName : texts.nav.signIn}</button>
  </div>`;
}
