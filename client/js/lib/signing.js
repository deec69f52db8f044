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
 * @param base the URL of what it opens, without a query.
 * @param what it is signed for: the name of a queue, or the line that stands for a choice of queues.
 * @param now seconds since 1970.
 * @param choice pairs of the query that name the choice.
 */
export async function signedUrl(base, key, application, what, operations, seconds, rate, now, choice = []) {
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
  const signature = hex(await hmac(signingKey, [application, what, chosen, until, shownRate].join("\n")));
  const signed = [
    ["signed_by", hex(digest).slice(0, 12)],
    ["signed_for", chosen],
    ["signed_until", until],
  ];
  if (rate !== undefined) signed.push(["signed_rate", shownRate]);
  return base + queryText([...choice, ...signed, ["signature", signature]]);
}

/** Take the signed URL of a queue apart. */
export function parseSignedUrl(text) {
  const { names, searchParams, ...parts } = signedParts(text);
  if (names.length < 3 || names[1] !== "queues") throw new TypeError("that is no signed URL of a queue");
  return { ...parts, queue: decodeURIComponent(names[2]) };
}

/** Take the signed URL of many queues apart. */
export function parseSignedUrlOfMany(text) {
  const { names, searchParams, ...parts } = signedParts(text);
  if (names.length !== 2 || names[1] !== "events") throw new TypeError("that is no signed URL of many queues");
  return { ...parts, queues: searchParams.getAll("queue"), prefixes: searchParams.getAll("prefix") };
}

function signedParts(text) {
  const { origin, pathname, searchParams } = new URL(text);
  const at = pathname.lastIndexOf("/v2/");
  if (at < 0 || !searchParams.has("signature")) throw new TypeError("that is no signed URL");
  const names = pathname.slice(at + 4).split("/");
  const signed = [...searchParams].filter(([name]) => name === "signature" || name.startsWith("signed_"));
  const server = origin + pathname.slice(0, at);
  return { names, searchParams, server, application: decodeURIComponent(names[0]), signed };
}

/** The line that stands for a choice in a signature: names, and prefixes after a colon, each in the order of its characters. */
export function choiceLine(names, prefixes) {
  return [...sorted(names), ...sorted(prefixes).map((each) => `:${each}`)].join(",");
}

/** Sort texts as the server does: by code points, where JavaScript goes by halves of these. */
function sorted(texts) {
  const points = (text) => Array.from(text, (character) => character.codePointAt(0));
  const compared = (a, b) => {
    const [left, right] = [points(a), points(b)];
    const at = left.findIndex((point, index) => point !== right[index]);
    return at < 0 ? left.length - right.length : left[at] - (right[at] ?? -1);
  };
  return [...new Set(texts)].sort(compared);
}
