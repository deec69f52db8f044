/** Signed URLs: made without asking the server, and taken apart again. */

import { hex, queryText } from "./encoding.js";

const OPERATIONS = ["claim", "delete", "read", "write"];
const MAX_RATE = 999_999;

const encoder = new TextEncoder();

async function hmac(key, text) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key, algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, encoder.encode(text)));
}

/**
 * Return a URL with a signature.
 *
 * @param base the URL of the queue's messages.
 * @param now seconds since 1970.
 */
export async function signedUrl(base, key, application, queue, operations, seconds, rate, now) {
  const unknown = operations.filter((each) => !OPERATIONS.includes(each));
  if (unknown.length || !operations.length) {
    throw new TypeError(
      `operations are some of ${OPERATIONS.join(", ")}; not ${unknown.join(", ") || "an empty list"}`,
    );
  }
  if (!(seconds >= 1)) throw new TypeError("a URL is good for a second at the least");
  if (rate !== undefined && !(Number.isInteger(rate) && rate >= 1 && rate <= MAX_RATE)) {
    throw new TypeError(`rate is 1 to ${MAX_RATE} requests a second`);
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(key)));
  const chosen = OPERATIONS.filter((each) => operations.includes(each)).join(",");
  const until = String(Math.floor(now + seconds));
  const shownRate = rate === undefined ? "" : String(rate);
  const signingKey = await hmac(digest, "queuey signed URL");
  const signature = hex(await hmac(signingKey, [application, queue, chosen, until, shownRate].join("\n")));
  const signed = [
    ["signed_by", hex(digest).slice(0, 12)],
    ["signed_for", chosen],
    ["signed_until", until],
  ];
  if (rate !== undefined) signed.push(["signed_rate", shownRate]);
  return base + queryText([...signed, ["signature", signature]]);
}

/** Take a signed URL apart. */
export function parseSignedUrl(text) {
  const url = new URL(text);
  const at = url.pathname.lastIndexOf("/v2/");
  const names = url.pathname.slice(at + 4).split("/");
  const signed = [...url.searchParams].filter(([name]) => name === "signature" || name.startsWith("signed_"));
  if (at < 0 || names.length < 3 || names[1] !== "queues" || !url.searchParams.has("signature")) {
    throw new TypeError("that is no signed URL of a queue");
  }
  return {
    server: url.origin + url.pathname.slice(0, at),
    application: decodeURIComponent(names[0]),
    queue: decodeURIComponent(names[2]),
    signed,
  };
}
