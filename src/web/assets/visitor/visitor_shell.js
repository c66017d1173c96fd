// The page for visitors: the pictures of a share or of a public collection.

import { html } from "../ui/html.js";
import { Toasts } from "../ui/toasts.js";
import { Gallery } from "../gallery/gallery.js";
import { DropSign, UploadPanel } from "../upload/panel.js";
import { Viewer } from "../viewer/viewer.js";
import { texts } from "../texts.js";

export function VisitorShell() {
  return html`<a class="skip-link" href="#content">${texts.skipToContent}</a> <${Gallery} /> <${Viewer} /> <${UploadPanel} /> <${DropSign} /> <${Toasts} />`;
}
