// Encodes PNGs.

import { deflateSync, gzipSync } from "node:zlib";

export const SIGNATURE = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");

/**
 * Encodes rows of red, green and blue, and of alpha if `hasAlpha`. Each row begins with a zero byte: no filter. The other options are
 * those of zlib.
 */
export function png(width, height, rows, { hasAlpha = false, ...options } = {}) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, hasAlpha ? 6 : 2, 0, 0, 0], 8);
  return Buffer.concat([SIGNATURE, chunk("IHDR", header), chunk("IDAT", deflateSync(rows, options)), chunk("IEND", Buffer.alloc(0))]);
}

/** Encodes a chunk: its length, kind, content and checksum. */
export function chunk(kind, content) {
  const named = Buffer.concat([Buffer.from(kind), content]);
  const framed = Buffer.alloc(8 + named.length);
  framed.writeUInt32BE(content.length, 0);
  named.copy(framed, 4);
  framed.writeUInt32BE(crc32(named), 4 + named.length);
  return framed;
}

/** Takes the checksum from the end of a gzip file, because zlib has a function for it only in Node 22 and newer. */
function crc32(data) {
  return gzipSync(data, { level: 0 }).subarray(-8).readUInt32LE();
}
