// Checks of the links that visitors copy.

import { strict as assert } from "node:assert";

import { detailsOf, openForm, openOwn } from "./edit_page.mjs";
import { until } from "./gallery_page.mjs";

/** A title with what has a meaning in Markdown, HTML and BBCode. */
const TITLE = "A \"big\" [b]bold[/b] <i>one</i> \\ & &lt;, 'quoted'](x)";

/** Copies the link of the open picture in a notation. */
async function copied(page, notation) {
  await page.evaluate(() => navigator.clipboard.writeText(""));
  await detailsOf(page).getByRole("button", { name: `Copy the link as ${notation}` }).click();
  await until(page, "something is copied", async () => (await navigator.clipboard.readText()) !== "");
  return page.evaluate(() => navigator.clipboard.readText());
}

async function openPicture(world, visit, title) {
  await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  return openOwn(world, visit, [title]);
}

export const checks = {
  async "The link of a picture can be copied in four notations, which keep its title"(world, visit) {
    const { service, page, image } = await openPicture(world, visit, TITLE);
    const url = await copied(page, "URL");
    await page.getByText("Copied.").first().waitFor();
    assert.ok(url.startsWith(`${service.publicUrl}/`) && url.includes(image.image_id), url);
    const response = await fetch(url);
    assert.deepEqual([response.status, response.headers.get("content-type").split("/")[0]], [200, "image"]);
    assert.equal(await copied(page, "BBCode"), `[img]${url}[/img]`);
    const elements = await page.evaluate((text) => {
      const elements = [...new DOMParser().parseFromString(text, "text/html").body.childNodes];
      return elements.map((element) => [element.nodeName, element.alt, element.getAttribute("src"), element.width, element.height]);
    }, await copied(page, "HTML"));
    assert.deepEqual(elements, [["IMG", TITLE, url, image.width, image.height]]);
    const markdown = await copied(page, "Markdown");
    assert.ok(markdown.startsWith("![") && markdown.endsWith(`](${url})`), markdown);
    const alt = markdown.slice("![".length, -`](${url})`.length);
    assert.doesNotMatch(alt, /(?<!\\)(\\\\)*[[\]]/, "a bracket ends the text");
    assert.doesNotMatch(alt, /(?<!\\)(\\\\)*<(?=\w|\/)/, "Markdown would leave out what looks like an element");
    assert.equal(alt.replace(/\\([!-/:-@[-`{-~])/g, "$1").replaceAll("&amp;", "&"), TITLE);
  },

  async "The link of a picture without a title has the name of its file"(world, visit) {
    await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const { page, image } = await openOwn(world, visit, [null]);
    assert.match(await copied(page, "Markdown"), /^!\[small\.png\]/);
    assert.match(await copied(page, "HTML"), new RegExp(`alt="${image.file_name}"`));
  },

  async "The link of a picture below a path prefix has the prefix"(world, visit) {
    await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const { service, page } = await openOwn({ trusted: () => world.prefixed() }, visit, ["Mine"]);
    const url = await copied(page, "URL");
    assert.ok(url.startsWith(`${service.publicUrl}/i/`), url);
    assert.equal((await fetch(url)).status, 200);
  },

  async "A private picture says why it has no link, until it is public"(world, visit) {
    const { page } = await openOwn(world, visit, ["Mine"], { visibility: "private" });
    const links = page.getByRole("group", { name: "Copy link" });
    await detailsOf(page).getByText("Private pictures have no public link.").waitFor();
    assert.equal(await links.count(), 0);
    const form = await openForm(page);
    await form.visibility.selectOption("public");
    await form.save.click();
    await links.waitFor();
  },
};
