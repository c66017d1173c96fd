// Starts the page.

import { html, render } from "./ui/html.js";
import { Shell } from "./shell/shell.js";
import { start } from "./session.js";
import { visitor } from "./visitor/visitor.js";
import { VisitorShell } from "./visitor/visitor_shell.js";

// The browser resolves it again when the URL of the page changes.
const favicon = document.querySelector("link[rel=icon]");
favicon.setAttribute("href", favicon.href);

render(html`<${visitor ? VisitorShell : Shell} />`, document.getElementById("app"));
start();
