// A gallery of any size, which the browser gets from here and not from the service: uploading so many pictures would take hours.

import { createUser, openGallery } from "./gallery_page.mjs";
import { landscape } from "./pictures.mjs";

const PAGE = 100;
const SIZES = [
  [1200, 800],
  [800, 1200],
  [1000, 1000],
  [1600, 900],
];
/** A ThumbHash. */
const PLACEHOLDER = "1QcSHQRnh493V4dIh4eXh1h4kJUI";
const PICTURE = landscape(32, 24, 1);

export class SyntheticGallery {
  /** The ids of the pictures that the page has deleted and restored. */
  deleted = [];
  restored = [];
  /** The ids of the pictures that exist, but are not among the tiles. */
  unlisted = [];
  /** A promise that the answers with pages of tiles wait for. */
  gate = null;
  /** Whether requests for pages of tiles go to the network, which the check has disconnected. */
  isOffline = false;

  /** The pictures are those of the user. Without files, the page shows a text in place of each. */
  constructor(count, { user, hasFiles }) {
    this.tiles = Array.from({ length: count }, (_, index) => tile(index, user, hasFiles));
  }

  /** Answers the requests of the pages of a visit. */
  async serve(visit) {
    const answer = (matches, respond) => visit.context.route(({ pathname }) => matches.test(pathname), respond);
    await answer(/\/app\/tiles$/, (route) => this.#list(route));
    await answer(/\/app\/tiles\/[^/]+$/, (route) => this.#find(route, (tile) => tile));
    await answer(/(?<!\/app)\/images\/[^/]+$/, (route) => {
      if (route.request().method() === "GET") return this.#find(route, details);
      this.deleted.push(idIn(route));
      return route.fulfill({ status: 204 });
    });
    await answer(/\/images\/[^/]+\/restore$/, (route) => {
      this.restored.push(idIn(route));
      return this.#find(route, details);
    });
    await answer(/\/thumbnail$/, (route) => route.fulfill({ contentType: "image/png", body: PICTURE }));
    return this;
  }

  async #list(route) {
    await this.gate;
    if (this.isOffline) return route.continue();
    const start = Number(new URL(route.request().url()).searchParams.get("page_token"));
    const end = start + PAGE;
    const isDeleted = (id) => this.deleted.includes(id) && !this.restored.includes(id);
    const tiles = this.tiles.filter(({ id }) => !isDeleted(id) && !this.unlisted.includes(id));
    const next = end < tiles.length ? String(end) : null;
    return route.fulfill({ json: { tiles: tiles.slice(start, end), total: tiles.length, next } });
  }

  #find(route, view) {
    const found = this.tiles.find(({ id }) => id === idIn(route));
    return found ? route.fulfill({ json: view(found) }) : route.continue();
  }
}

/** Opens a synthetic gallery as the owner of its pictures. `path` may change the gallery before. */
export async function openSynthetic(world, visit, count, { path = () => "app/", hasFiles = true } = {}) {
  const service = await world.trusted();
  const user = createUser(service);
  const gallery = await new SyntheticGallery(count, { user, hasFiles }).serve(visit);
  const ids = gallery.tiles.map(({ id }) => id);
  const page = await openGallery(visit, service, user, path(gallery));
  return { page, gallery, ids };
}

/** The name of the picture at an index. */
export function syntheticName(index) {
  return `Picture ${index + 1}`;
}

function tile(index, user, hasFiles) {
  const [width, height] = SIZES[index % SIZES.length];
  // The newest is first, and has the highest id.
  const id = `00000000-0000-7000-8000-${String(10 ** 11 - index).padStart(12, "0")}`;
  return {
    id,
    width,
    height,
    title: syntheticName(index),
    file_name: "picture.png",
    user_id: user.id,
    private: false,
    animated: false,
    created_at: "2026-11-30T12:00:00Z",
    placeholder: PLACEHOLDER,
    sizes: hasFiles ? [{ width, height, url: `images/${id}/thumbnail?width=1200` }] : [],
    large: [],
  };
}

/** The picture as the API describes it. */
function details({ sizes, large, placeholder, private: isPrivate, ...tile }) {
  const visibility = isPrivate ? "private" : "public";
  return { ...tile, image_id: tile.id, visibility, tags: [], colors: ["#808080"], file_size: 1000, metadata: {} };
}

function idIn(route) {
  return /[0-9a-f-]{36}/.exec(new URL(route.request().url()).pathname)[0];
}
