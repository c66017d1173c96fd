// The page as people use it who have a keyboard only: Tab leads to everything, and keys act on what has the focus.

import { strict as assert } from "node:assert";

const MAX_TABS = 80;

/** Presses Tab until an element has the focus. */
export async function tabTo(target) {
  await target.first().waitFor({ state: "attached" });
  const page = target.page();
  const hasFocus = () => target.evaluateAll((elements) => elements.includes(document.activeElement));
  for (let tabs = 0; tabs < MAX_TABS; tabs++) {
    if (await hasFocus()) return;
    await page.keyboard.press("Tab");
  }
  assert.ok(await hasFocus(), `Tab does not reach ${target}`);
}

/** Presses a key on an element. */
export async function pressOn(target, key = "Enter") {
  await tabTo(target);
  await target.page().keyboard.press(key);
}

/** Types a text into a field, in place of what it has. */
export async function typeInto(field, text) {
  await tabTo(field);
  const { keyboard } = field.page();
  await keyboard.press("Control+a");
  await keyboard.press("Delete");
  await keyboard.type(text);
}

/** Chooses an option of a list with the arrow keys. */
export async function chooseOption(list, label) {
  await tabTo(list);
  const stepsTo = ({ options, selectedIndex }, label) => [...options].findIndex(({ text }) => text === label) - selectedIndex;
  const steps = await list.evaluate(stepsTo, label);
  for (let step = 0; step < Math.abs(steps); step++) await list.page().keyboard.press(steps > 0 ? "ArrowDown" : "ArrowUp");
}

/** How a button or link is activated: with the mouse, and with the keyboard. */
export const WAYS = [(target) => target.click(), (target) => pressOn(target)];
