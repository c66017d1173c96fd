// Starts, kills and restarts the service, and asks it about uploads and images.

import { spawn } from "node:child_process";
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const START_SECONDS = 60;

/** Whether a child process was started and has not ended. */
export function isRunning(process) {
  return process?.pid !== undefined && process.exitCode === null && process.signalCode === null;
}

/** Returns the end of a log, which is deleted after the run. */
export function lastLines(file) {
  return readFileSync(file, "utf8").split("\n").slice(-20).join("\n");
}

export class Service {
  /** Clients reach the service at `publicUrl`, which may be a proxy. `origin` is that of pages on other servers that may use the API. */
  constructor({ program, folder, port, publicUrl, origin, settings = {} }) {
    this.program = program;
    this.folder = folder;
    this.url = `http://127.0.0.1:${port}`;
    this.publicUrl = publicUrl;
    this.environment = {
      ...process.env,
      HOST: "127.0.0.1",
      PORT: String(port),
      PUBLIC_URL: publicUrl,
      CORS_ORIGINS: origin,
      DATA_DIR: `${folder}/data`,
      IMPORT_CONCURRENCY: "0",
      ...settings,
    };
  }

  async start() {
    const log = openSync(`${this.folder}/image-service.log`, "a");
    this.process = spawn(this.program, ["serve"], { env: this.environment, cwd: this.folder, stdio: ["ignore", log, log] });
    for (const end = Date.now() + 1000 * START_SECONDS; Date.now() < end; await sleep(50)) {
      if (!this.isRunning) break;
      if (await fetch(`${this.url}/ready`).then((response) => response.ok, () => false)) return;
    }
    throw new Error(`the service did not start:\n${lastLines(`${this.folder}/image-service.log`)}`);
  }

  async kill() {
    await this.stop("SIGKILL");
  }

  async stop(signal = "SIGTERM") {
    if (!this.isRunning) return;
    const exit = once(this.process, "exit");
    this.process.kill(signal);
    await exit;
  }

  get isRunning() {
    return isRunning(this.process);
  }

  async get(path, user) {
    const response = await fetch(`${this.url}${path}`, { headers: { "X-User-Id": user } });
    return { status: response.status, body: await response.json() };
  }

  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split("\n").find((line) => line.startsWith(`image_service_${name} `));
    return Number(line?.split(" ")[1] ?? NaN);
  }

  /** Asserts that the user has one image, and that its original equals the file. */
  async assertArrived(user, file) {
    const { body } = await this.get(`/images?user_id=${user}`, user);
    assert.equal(body.images?.length, 1, `the user has one image: ${JSON.stringify(body)}`);
    const [image] = body.images;
    const original = Buffer.from(await (await fetch(image.download_url)).arrayBuffer());
    assert.ok(original.equals(file), `the original has the ${file.length} bytes that were sent; it has ${original.length}`);
    return image;
  }

  async assertNoImage(user) {
    assert.equal((await this.get(`/images?user_id=${user}`, user)).body.images.length, 0);
  }
}
