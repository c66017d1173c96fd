// What a page for visitors shows: a share or a public collection. Everything that the page of a share requests is below `s/`.

const { identity, ...dataset } = document.body.dataset;

/**
 * `{ source, title, guestImages, guestVisibility, image }`: the path below which the tiles are and pictures are added, relative to the
 * service; the name; how many pictures visitors can still add, and who can see these, unless they cannot add any; and the id of the
 * picture, if only one is shared. Null on the pages for users.
 */
export const visitor = identity === "visitor" ? dataset : null;

/** Returns the path of the tile of a picture. */
export function tilePath(id) {
  return `${visitor?.source ?? "app"}/tiles/${id}`;
}
