/** How values are written for the server: bodies, headers, times, queries. */

export const TEXT = "text/plain;charset=utf-8";
export const BYTES = "application/octet-stream";
export const JSON_TYPE = "application/json";
export const BATCH = "application/vnd.queuey.messages+json";
export const LINES = "application/x-ndjson";
export const PATCH = "application/merge-patch+json";

const encoder = new TextEncoder();

/** Write JSON as UTF-8. Throws a TypeError for what is no JSON. */
export function compact(document) {
  const text = JSON.stringify(document);
  if (text === undefined) throw new TypeError("this body is no JSON");
  return encoder.encode(text);
}

/** The bytes of a body, and the type that it has if the caller does not say: bytes, text, else JSON. */
export function bodyOf(body) {
  if (body instanceof ArrayBuffer) return [new Uint8Array(body), BYTES];
  if (ArrayBuffer.isView(body)) return [new Uint8Array(body.buffer, body.byteOffset, body.byteLength), BYTES];
  if (typeof body === "string") return [encoder.encode(body), TEXT];
  return [compact(body), JSON_TYPE];
}

/** Write a name as one segment of a path. */
export function segment(name) {
  if (typeof name !== "string" || ["", ".", ".."].includes(name)) throw new TypeError(`${name} is no name`);
  return encodeURIComponent(name);
}

/** Write seconds without an exponent; `undefined` if there are none. */
export function number(seconds) {
  return seconds === undefined || seconds === null ? undefined : String(plainNumber(seconds));
}

/** Seconds for JSON, with six decimals at the most. */
export function plainNumber(seconds) {
  if (!Number.isFinite(seconds)) throw new TypeError(`${seconds} is no number of seconds`);
  return Math.round(seconds * 1e6) / 1e6;
}

/** The same; `undefined` if there are none, which JSON leaves out. */
export function optionalNumber(seconds) {
  return seconds === undefined || seconds === null ? undefined : plainNumber(seconds);
}

/** Write a time, or leave a cursor, an id or a word as it is. */
export function placeText(place) {
  return place instanceof Date ? place.toISOString() : place;
}

/** Whether a place is the end of a queue at the time of the request: then a repeat may mean another place. */
export function isEnd(place) {
  return place === "newest" || place === "now";
}

/** Pairs of a query, from an object; lists are repeated, and what is `undefined` or `null` is left out. */
export function query(members) {
  return Object.entries(members).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((each) => each !== undefined && each !== null)
      .map((each) => [name, String(each)]),
  );
}

/** Write a query, with its question mark; empty if there are no parameters. */
export function queryText(pairs) {
  const text = pairs.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join("&");
  return text && `?${text}`;
}

/** Write the header field for a message's own headers. */
export function ownHeaders(headers) {
  const given = headers && Object.keys(headers).length;
  return given ? { "Queuey-Headers": encodeURIComponent(JSON.stringify(headers)) } : {};
}

/** Make an Idempotency-Key. `crypto.randomUUID` is missing in pages without TLS. */
export function newKey() {
  return hex(crypto.getRandomValues(new Uint8Array(16)));
}

/** Write bytes as hexadecimal digits. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Write the header field `Idempotency-Key`; none for an empty key. */
export function keyHeader(key) {
  if (!key) return {};
  if (!/^[\x20-\x7e]{1,255}$/.test(key)) {
    throw new TypeError("an idempotencyKey has 1 to 255 printable characters of ASCII");
  }
  return { "Idempotency-Key": `"${key.replace(/[\\"]/g, "\\$&")}"` };
}

/** Write the names of settings as the server has them: `maxDeliveries` as `max_deliveries`. */
export function settingsOf(settings) {
  const names = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(names.map(([name, value]) => [snake(name), placeText(value)]));
}

function snake(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Read the bytes of base64. */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Write bytes as base64. */
export function toBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
