// What can be done with the selected pictures.

import { Component, html, observer } from "../ui/html.js";
import { Dialog } from "../ui/dialog.js";
import { icon } from "../ui/icons.js";
import { addTags, collect, deleteAll, purge, restore, setVisibility } from "./bulk.js";
import { focus } from "./grid.js";
import { clear, isOwn, selected } from "./selection.js";
import { collection, isTrash } from "./source.js";
import { tiles as all } from "./tiles.js";
import { moveToEdge, takeOut } from "../collections/order.js";
import { NAME_RULE } from "../collections/new.js";
import { Question } from "../ui/question.js";
import { request } from "../server.js";
import { user } from "../session.js";
import { canDelete } from "../viewer/deletion.js";
import { TakeDownQuestion } from "../viewer/take_down.js";
import { texts } from "../texts.js";

const words = texts.bulk;

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open], details.menu[open], .viewer")) clear();
});

export class SelectionBar extends Component {
  state = { dialog: null };

  open = (dialog) => this.setState({ dialog });
  close = () => this.setState({ dialog: null });

  render(_, { dialog }) {
    return html`<${Bar} onOpen=${this.open} />
      ${dialog === "tags" && html`<${TagDialog} onClose=${this.close} />`}
      ${dialog === "purge" && html`<${PurgeDialog} onClose=${this.close} />`}
      ${dialog === "takeDown" && html`<${TakeDownDialog} onClose=${this.close} />`}
      ${dialog === "collection" && html`<${CollectionDialog} onClose=${this.close} />`}`;
  }
}

const Bar = observer(({ onOpen }) => {
  const tiles = selected.value;
  if (tiles.length === 0) return null;
  const button = (name, label, act) =>
    html`<button class="icon-button" title=${label} aria-label=${label} onClick=${act}>${icon(name)}</button>`;
  return html`<${Toolbar} first=${all.peek().indexOf(tiles[0])}>
    ${button("close", words.clear, clear)}
    <span role="status">${words.selected(tiles.length)}</span>
    <div class="spacer"></div>
    ${isTrash.value
      ? html`${button("restore", words.restore, () => restore(tiles))} ${button("trash", words.purge, () => onOpen("purge"))}`
      : html`<${Changes} tiles=${tiles} button=${button} onOpen=${onOpen} />`}
  <//>`;
});

/** `first`: the index of the first selected picture. */
class Toolbar extends Component {
  componentWillUnmount() {
    // The keyboard goes on where the selection was, in what is left of the list.
    if (!document.activeElement.matches(".selection-bar :focus-visible")) return;
    requestAnimationFrame(() => focus.picture((all.peek()[this.props.first] ?? all.peek().at(-1))?.id));
  }

  render({ children }) {
    return html`<div class="selection-bar" role="toolbar" aria-label=${words.label}>${children}</div>`;
  }
}

const Changes = observer(
  ({ tiles, button, onOpen }) => html`${collection.value &&
    html`${button("first", words.toBeginning, () => moveToEdge(tiles, false))} ${button("last", words.toEnd, () => moveToEdge(tiles, true))}
    ${button("takeOut", words.takeOut, () => takeOut(tiles))}`}
    ${user.value && button("folder", words.collect, () => onOpen("collection"))}
    ${isOwn.value &&
    html`${button("tag", words.tag, () => onOpen("tags"))}
    ${button("lock", words.makePrivate, () => setVisibility(tiles, "private"))}
    ${button("globe", words.makePublic, () => setVisibility(tiles, "public"))} ${button("trash", texts.viewer.delete, () => deleteAll(tiles))}`}
    ${!isOwn.value && tiles.every(canDelete) && button("trash", texts.viewer.takeDown, () => onOpen("takeDown"))}`,
);

function PurgeDialog({ onClose }) {
  const tiles = selected.peek();
  const confirm = () => purge(tiles);
  return html`<${Question} title=${words.purge} text=${words.purgeQuestion(tiles.length)} action=${words.purge} onConfirm=${confirm} onClose=${onClose} />`;
}

function TakeDownDialog({ onClose }) {
  const tiles = selected.peek();
  return html`<${TakeDownQuestion} pictures=${tiles} onConfirm=${() => deleteAll(tiles)} onClose=${onClose} />`;
}

function TagDialog({ onClose }) {
  const submit = (event) => {
    event.preventDefault();
    const tags = new FormData(event.currentTarget).get("tags").split(",").map((tag) => tag.trim()).filter(Boolean);
    addTags(selected.peek(), tags);
    onClose();
  };
  return html`<${OneField} title=${words.tag} label=${texts.edit.tags} name="tags" onSubmit=${submit} onClose=${onClose} />`;
}

class CollectionDialog extends Component {
  state = { names: [] };

  async componentDidMount() {
    const page = await request("GET", "collections", { query: { limit: 100 } }).catch(() => null);
    this.setState({ names: page?.collections.map(({ name }) => name) ?? [] });
  }

  submit = (event) => {
    event.preventDefault();
    collect(selected.peek(), new FormData(event.currentTarget).get("name"));
    this.props.onClose();
  };

  render({ onClose }, { names }) {
    return html`<${OneField} title=${words.collect} label=${words.name} name="name" limits=${NAME_RULE} names=${names} onSubmit=${this.submit} onClose=${onClose} />`;
  }
}

function OneField({ title, label, name, limits, names = [], onSubmit, onClose }) {
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${onSubmit}>
      <label>${label} <input name=${name} required autocomplete="off" list="known-names" ...${limits} /></label>
      <datalist id="known-names">${names.map((known) => html`<option value=${known}></option>`)}</datalist>
      <div class="actions">
        <button type="button" class="text-button" onClick=${onClose}>${texts.edit.cancel}</button>
        <button type="submit" class="button">${words.add}</button>
      </div>
    </form>
  <//>`;
}
