// Downloads the original of a picture.

import { html } from "../ui/html.js";
import { base, request } from "../server.js";
import { showToast } from "../ui/toasts.js";
import { texts } from "../texts.js";

/** The public link of a public picture; for a private one, a URL that is signed now. */
export function Download({ image }) {
  const label = texts.viewer.download;
  if (image.visibility === "public") {
    return html`<a class="chip" href=${new URL(`i/${image.image_id}`, base)} download=${image.file_name}>${label}</a>`;
  }
  const start = async () => {
    try {
      const { download_url: url } = await request("GET", `images/${image.image_id}/download`, { query: { attachment: "true" } });
      location.assign(url);
    } catch (error) {
      showToast(error.message);
    }
  };
  return html`<button class="chip" onClick=${start}>${label}</button>`;
}
