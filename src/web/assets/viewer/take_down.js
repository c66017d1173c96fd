// Asks an administrator before pictures of other users are deleted.

import { html } from "../ui/html.js";
import { Question } from "../ui/question.js";
import { isOwner } from "./deletion.js";
import { nameOf } from "../gallery/tiles.js";
import { texts } from "../texts.js";

const words = texts.viewer;

/** Some of the pictures may be the user's own. */
export function TakeDownQuestion({ pictures, ...question }) {
  const others = pictures.filter((tile) => !isOwner(tile));
  const [first] = others;
  const whose = pictures.length === 1 ? words.ofUser(nameOf(first), first.user_id) : words.ofOthers(others.length, pictures.length);
  return html`<${Question} title=${words.takeDown} text=${`${whose} ${words.takeDownEffect}`} action=${words.takeDown} ...${question} />`;
}
