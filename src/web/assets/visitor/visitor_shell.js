// The page for visitors: the pictures of a share or of a public collection.

import { html } from "../ui/html.js";
import { Toasts } from "../ui/toasts.js";
import { Gallery } from "../gallery/gallery.js";
import { DropSign, UploadPanel } from "../upload/panel.js";
import { Viewer } from "../viewer/viewer.js";
import { go, route } from "../router.js";
import { texts } from "../texts.js";
import { visitor } from "./visitor.js";

if (visitor?.image && !route.peek().image) go({ image: visitor.image }, { replace: true });

export function VisitorShell() {
  return html`<a class="skip-link" href="#content">${texts.skipToContent}</a> <${UploadPanel} /> <${Gallery} /> <${Viewer} /> <${DropSign} /> <${Toasts} />`;
}
