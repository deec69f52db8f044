/** Messages: those that are read, those that are claimed, and those to be stored. */

import { bodyOf, optionalNumber, toBase64 } from "./encoding.js";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A message as it was read. `place` is where a reader goes on after it. */
export class Message {
  constructor(members) {
    this.etag = null;
    Object.assign(this, members);
  }

  /** The body as text. Throws a TypeError if it is not UTF-8. */
  get text() {
    return utf8.decode(this.body);
  }

  /** The body as JSON. Throws a SyntaxError if it is none. */
  json() {
    return JSON.parse(this.text);
  }

  /** The key that the message was posted with, if it was stored with one. */
  get key() {
    return this.headers["queuey-key"] ?? null;
  }
}

/** A message under a lease. Settling one twice does no harm. */
export class Delivery extends Message {
  /** Whether the lease is known to have passed to another worker: stop working on the message. */
  lost = false;
}

/** A message to be stored. A body that is neither bytes nor text is sent as JSON. */
export class Draft {
  constructor(body, { contentType, headers, key, partition, ttl, delay } = {}) {
    const [bytes, type] = bodyOf(body);
    Object.assign(this, { body: bytes, contentType: contentType ?? type, headers, key, partition, ttl, delay });
  }
}

/** Write a message as a member of a batch. */
export function batchMember({ body, contentType, headers, key, partition, ttl, delay }) {
  const found = { content_type: contentType };
  try {
    found.body = utf8.decode(body);
  } catch {
    found.body_base64 = toBase64(body);
  }
  if (headers && Object.keys(headers).length) found.headers = headers;
  return { ...found, key, partition, ttl: optionalNumber(ttl), delay: optionalNumber(delay) };
}
