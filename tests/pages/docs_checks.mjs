// Checks of the documentation pages, Swagger UI and ReDoc.

import { assertAccessible } from "./accessibility.mjs";

// What axe-core finds in Swagger UI 5 itself, and not in our part of the page.
const SWAGGER_BARRIERS = [
  "button-name", // the switch for the dark mode has only an icon
  "color-contrast", // white on light green and blue, in buttons and names of methods
  "label", // the address of the document, in the bar at the top
  "nested-interactive", // each operation has buttons within its heading, which is a button
  "select-name", // the list of servers
];

async function openSwagger(visit, service) {
  const page = await visit.open(service, "docs/");
  await page.locator(".opblock").first().waitFor();
  return page;
}

async function openRedoc(visit, service) {
  // Its script always requests the logo of its vendor: it has no option for that. The policy of the page blocks the request.
  visit.expect(/cdn\.redoc\.ly/);
  const page = await visit.open(service, "redoc");
  await page.locator("[data-section-id]").first().waitFor();
  return page;
}

export const checks = {
  async "Swagger UI shows the operations"(world, visit) {
    await openSwagger(visit, await world.trusted());
  },

  async "Swagger UI shows the operations below a path prefix"(world, visit) {
    await openSwagger(visit, await world.prefixed());
  },

  async "Swagger UI has no serious barriers"(world, visit) {
    await assertAccessible(world, await openSwagger(visit, await world.trusted()), SWAGGER_BARRIERS);
  },

  async "ReDoc shows the operations"(world, visit) {
    await openRedoc(visit, await world.trusted());
  },

  async "ReDoc shows the operations below a path prefix"(world, visit) {
    await openRedoc(visit, await world.prefixed());
  },

  async "ReDoc has no serious barriers"(world, visit) {
    await assertAccessible(world, await openRedoc(visit, await world.trusted()));
  },
};
