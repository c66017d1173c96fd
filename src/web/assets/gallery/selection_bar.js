// What can be done with the selected pictures.

import { Component, html, observer } from "../ui/html.js";
import { FormDialog } from "../ui/form.js";
import { icon } from "../ui/icons.js";
import { addTags, collect, deleteAll, purge, restore, setVisibility } from "./bulk.js";
import { focus } from "./grid.js";
import { clear, isOwn, selected } from "./selection.js";
import { collection, isTrash } from "./source.js";
import { tiles as all } from "./tiles.js";
import { moveToEdge, takeOut } from "../collections/order.js";
import { NAME_RULE, VISIBILITIES } from "../collections/new.js";
import { Question } from "../ui/question.js";
import { request } from "../server.js";
import { user } from "../session.js";
import { canDelete, isOwner } from "../viewer/deletion.js";
import { TakeDownQuestion } from "../viewer/take_down.js";
import { texts } from "../texts.js";

const words = texts.bulk;

export class SelectionBar extends Component {
  state = { Dialog: null, tiles: [] };

  componentDidMount() {
    addEventListener("keydown", this.press);
  }

  componentWillUnmount() {
    removeEventListener("keydown", this.press);
  }

  open = (dialog, tiles) => this.setState({ Dialog: DIALOGS[dialog], tiles });
  close = () => this.setState({ Dialog: null });

  /** Escape clears the selection. Delete is about the selected pictures, or else about the one that has the focus. */
  press = (event) => {
    if (document.querySelector("dialog[open], details.menu[open], .viewer")) return;
    if (event.key === "Escape") clear();
    if (event.key !== "Delete" || event.repeat) return;
    const focused = all.peek()[document.activeElement.dataset.index];
    const tiles = selected.peek().length > 0 ? selected.peek() : [focused].filter(Boolean);
    if (tiles.length > 0) this.delete(tiles);
  };

  /** Asks first if the user cannot undo it. */
  delete = (tiles) => {
    if (isTrash.peek()) this.open("purge", tiles);
    else if (tiles.every(isOwner)) deleteAll(tiles);
    else if (tiles.every(canDelete)) this.open("takeDown", tiles);
  };

  render(_, { Dialog, tiles }) {
    return html`<${Bar} onOpen=${this.open} onDelete=${this.delete} />
      ${Dialog && html`<${Dialog} tiles=${tiles} onClose=${this.close} />`}`;
  }
}

const Bar = observer(({ onOpen, onDelete }) => {
  const tiles = selected.value;
  if (tiles.length === 0) return null;
  const button = (name, label, act) =>
    html`<button class="icon-button" title=${label} aria-label=${label} onClick=${act}>${icon(name)}</button>`;
  return html`<${Toolbar} first=${all.peek().indexOf(tiles[0])}>
    ${button("close", words.clear, clear)}
    <span role="status">${words.selected(tiles.length)}</span>
    <div class="spacer"></div>
    ${isTrash.value
      ? html`${button("restore", words.restore, () => restore(tiles))} ${button("trash", words.purge, () => onDelete(tiles))}`
      : html`<${Changes} tiles=${tiles} button=${button} onOpen=${onOpen} onDelete=${onDelete} />`}
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
  ({ tiles, button, onOpen, onDelete }) => html`${collection.value &&
    html`${button("first", words.toBeginning, () => moveToEdge(tiles, false))} ${button("last", words.toEnd, () => moveToEdge(tiles, true))}
    ${button("takeOut", words.takeOut, () => takeOut(tiles))}`}
    ${user.value && button("folder", words.collect, () => onOpen("collection", tiles))}
    ${isOwn.value &&
    html`${button("tag", words.tag, () => onOpen("tags", tiles))}
    ${button("lock", words.makePrivate, () => setVisibility(tiles, "private"))}
    ${button("globe", words.makePublic, () => setVisibility(tiles, "public"))}`}
    ${tiles.every(canDelete) && button("trash", isOwn.value ? texts.viewer.delete : texts.viewer.takeDown, () => onDelete(tiles))}`,
);

function PurgeDialog({ tiles, onClose }) {
  const confirm = () => purge(tiles);
  return html`<${Question} title=${words.purge} text=${words.purgeQuestion(tiles.length)} action=${words.purge} onConfirm=${confirm} onClose=${onClose} />`;
}

function TakeDownDialog({ tiles, onClose }) {
  return html`<${TakeDownQuestion} pictures=${tiles} onConfirm=${() => deleteAll(tiles)} onClose=${onClose} />`;
}

function TagDialog({ tiles, onClose }) {
  // The dialog does not wait for it.
  const send = async (form) => void addTags(tiles, form.get("tags").split(",").map((tag) => tag.trim()).filter(Boolean));
  return html`<${FormDialog} title=${words.tag} submit=${words.add} send=${send} onDone=${() => {}} onClose=${onClose}>
    ${({ field }) => field("tags", texts.edit.tags, null, { required: true, autocomplete: "off" })}
  <//>`;
}

/** The collection may be a new one: then the user decides who can see it. */
class CollectionDialog extends Component {
  state = { names: [], name: "" };

  async componentDidMount() {
    const page = await request("GET", "collections", { query: { limit: 100 } }).catch(() => null);
    this.setState({ names: page?.collections.map(({ name }) => name) ?? [] });
  }

  // The dialog does not wait for it.
  send = async (form) => void collect(this.props.tiles, Object.fromEntries(form));

  type = (event) => this.setState({ name: event.currentTarget.value });

  render({ onClose }, { names, name }) {
    const isNew = name && !names.includes(name);
    return html`<${FormDialog} title=${words.collect} submit=${words.add} send=${this.send} onDone=${() => {}} onClose=${onClose}>
      ${({ field }) => html`
        ${field("name", words.name, words.nameRule, { ...NAME_RULE, list: "known-names", onInput: this.type })}
        <datalist id="known-names">${names.map((known) => html`<option value=${known}></option>`)}</datalist>
        ${isNew && field("visibility", words.visibility, null, { options: VISIBILITIES })}
      `}
    <//>`;
  }
}

const DIALOGS = { tags: TagDialog, collection: CollectionDialog, purge: PurgeDialog, takeDown: TakeDownDialog };
