// A service whose pages are opened, with its embedded S3 server.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";

import { Service } from "../uploads/service.mjs";

export class PageService extends Service {
  /** `s3Url`: where clients reach the S3 server, if that is behind a proxy. */
  constructor({ s3Port, s3Url, administrator, settings = {}, ...options }) {
    const storage = { S3_EMBEDDED_PORT: String(s3Port), ...(s3Url && { S3_PUBLIC_ENDPOINT_URL: s3Url }) };
    super({ ...options, settings: { AUTH_MODE: "trusted", ...storage, ...settings } });
    this.administrator = administrator;
    /** The origins that pages of this service may send requests to. */
    this.origins = [new URL(this.publicUrl).origin, s3Url ?? `http://127.0.0.1:${s3Port}`];
  }

  /** Creates an account. Its plan is null by default: all features and no quotas. The service must have an administrator. */
  async createAccount({ plan = null } = {}) {
    const account = { email: `${randomUUID()}@example.org`, password: "a password for tests" };
    const response = await fetch(`${this.url}/accounts`, {
      method: "POST",
      headers: { ...basic(this.administrator), "Content-Type": "application/json" },
      body: JSON.stringify({ ...account, plan }),
    });
    const body = await response.json();
    assert.equal(response.status, 201, `the account was not created: ${JSON.stringify(body)}`);
    return { ...account, id: body.user_id, headers: basic(account) };
  }
}

/** Returns the header that authenticates an account. */
function basic({ email, password }) {
  return { Authorization: `Basic ${Buffer.from(`${email}:${password}`).toString("base64")}` };
}
