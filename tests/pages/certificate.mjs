// The certificate of a proxy that serves HTTPS.

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Creates a key, and a certificate for 127.0.0.1 that it signs itself. Browsers must be told to accept it. */
export async function createCertificate(folder) {
  const [key, certificate] = [`${folder}/tls.key`, `${folder}/tls.crt`];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  await run("openssl", ["req", "-x509", ...kind, ...subject, "-keyout", key, "-out", certificate]);
  return { key: readFileSync(key), cert: readFileSync(certificate) };
}
