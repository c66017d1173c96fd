// What a page for visitors shows: a share or a public collection. Everything that the page of a share requests is below `s/`.

const { identity, source, title, guestImages, image } = document.body.dataset;

/**
 * `{ source, title, guestImages, image }`: the path below which the tiles are and pictures are added, relative to the service; the name;
 * how many pictures visitors can still add; and the id of the picture, if only one is shared. Null on the pages for users.
 */
export const visitor = identity === "visitor" ? { source, title, guestImages: Number(guestImages), image } : null;

/** Returns the path of the tile of a picture. */
export function tilePath(id) {
  return `${visitor?.source ?? "app"}/tiles/${id}`;
}
