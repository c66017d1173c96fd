// The scenario that every TypeScript client must pass. Each client implements the operations of `Scenario`.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";

export const base = process.env.BASE_URL ?? "";
export const user = "clients-typescript";

export interface Scenario {
  upload(file: Blob, title: string, tags: string): Promise<{ image_id: string; caption_status: string; description: string | null }>;
  list(tags: string[], limit: number, pageToken?: string): Promise<{ ids: string[]; next: string | null }>;
  errorForMissingImage(imageId: string): Promise<{ error: string; message: string; details: Record<string, string> }>;
  thumbnail(imageId: string): Promise<Blob>;
  import(url: string): Promise<string>;
  importStatus(jobId: string): Promise<{ status: string; pending: string[] }>;
  remove(imageId: string): Promise<string>;
}

export async function run(name: string, client: Scenario): Promise<void> {
  const file = new Blob([new Uint8Array(readFileSync(process.env.IMAGE_FILE ?? ""))], { type: "image/png" });
  const tags = [`${name}-sea`, `${name}-sun`];
  const first = await client.upload(file, "A title", tags.join(","));
  const second = await client.upload(file, "Another title", tags[0]);
  assert.equal(first.caption_status, "off");
  assert.equal(first.description, null, "a field that was not sent is null, not the text 'null'");

  const page = await client.list([tags[0]], 1);
  assert.deepEqual(page.ids, [second.image_id]);
  assert.ok(page.next);
  const rest = await client.list([tags[0]], 1, page.next);
  assert.deepEqual([rest.ids, rest.next], [[first.image_id], null]);
  assert.deepEqual((await client.list(tags, 10)).ids, [first.image_id], "an image must have all tags");

  const error = await client.errorForMissingImage("019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17");
  assert.equal(error.error, "NotFound");
  assert.ok(error.message);
  assert.deepEqual(error.details, {});

  const thumbnail = new Uint8Array(await (await client.thumbnail(first.image_id)).arrayBuffer());
  assert.deepEqual([...thumbnail.slice(0, 3)], [0xff, 0xd8, 0xff], "the thumbnail is a JPEG");

  const job = await client.import("https://images.example/cover.jpg");
  assert.deepEqual(await client.importStatus(job), { status: "pending", pending: ["https://images.example/cover.jpg"] });
  assert.equal(await client.remove(second.image_id), second.image_id);
  console.log(`${name}: ok`);
}

/** Returns the value, or throws if the client returned none. */
export function unwrap<T>(value: T | undefined, error?: unknown): T {
  if (value === undefined) throw new Error(`the client returned no value: ${JSON.stringify(error)}`);
  return value;
}
