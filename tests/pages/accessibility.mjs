// Searches pages for barriers with axe-core.

import { strict as assert } from "node:assert";

const REPORTED_NODES = 3;

/**
 * Asserts that axe-core finds nothing serious or critical in the page, except for the known rules.
 * A known rule that finds nothing is an error too, so that the lists stay short.
 */
export async function assertAccessible(world, page, knownRules = []) {
  // Unlike a script element, this is not subject to the policy of the page.
  await page.evaluate(world.axe);
  const violations = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    const described = (nodes) => nodes.map(({ html, target }) => `${target}: ${html}`);
    return violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, nodes: described(nodes) }));
  });
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const unknown = serious.filter(({ id }) => !knownRules.includes(id));
  const report = unknown.map(({ id, impact, help, nodes }) =>
    [`${id} (${impact}, ${nodes.length} elements): ${help}`, ...nodes.slice(0, REPORTED_NODES)].join("\n          "));
  assert.equal(unknown.length, 0, `axe-core found:\n        ${report.join("\n        ")}`);
  const gone = knownRules.filter((rule) => !serious.some(({ id }) => id === rule));
  assert.deepEqual(gone, [], "these known rules find nothing");
}
