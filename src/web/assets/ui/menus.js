// Menus: `details` elements, of which the browser opens one at a time. A click elsewhere, Esc, and leaving them close them.

/** The name that all menus share. */
export const MENU = "menu";

addEventListener("click", (event) => close((menu) => !menu.contains(event.target)));

// A press on a text in a menu can focus what the menu is in.
addEventListener("focusin", ({ target }) => close((menu) => !menu.contains(target) && !target.contains(menu)));

addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of close(() => true)) menu.querySelector("summary").focus();
});

/** Closes the open menus that match. Returns them. */
function close(matches) {
  const open = [...document.querySelectorAll("details.menu[open]")].filter(matches);
  for (const menu of open) menu.open = false;
  return open;
}
