/** Reads answers: what the server's JSON and header fields say, as values. */

import { bodyOf, fromBase64 } from "./encoding.js";
import { QueueyError } from "./errors.js";
import { Delivery, Message } from "./messages.js";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Read the JSON of a success.
 *
 * Throws a QueueyError if it is not what was expected: something that is not Queuey has answered.
 */
export function resultOf(answer, parse) {
  try {
    return parse(JSON.parse(utf8.decode(answer.body)));
  } catch (error) {
    if (error instanceof QueueyError) throw error;
    const text = new TextDecoder().decode(answer.body.subarray(0, 100));
    throw new QueueyError(`the answer is not Queuey's: ${text}`, { code: "foreign-answer", status: answer.status });
  }
}

/** Read a time of the server; a Date has milliseconds, the id of a message has all digits. */
function timeOf(text) {
  return new Date(text ? text.replace(/(\.\d{3})\d+/, "$1") : 0);
}

/** A member that has to be there. */
function needed(document, name) {
  if (document[name] === undefined) throw new TypeError(`${name} is missing`);
  return document[name];
}

function members(queue, each) {
  return {
    id: needed(each, "id"),
    queue,
    partition: needed(each, "partition"),
    timestamp: timeOf(each.timestamp),
    expires: timeOf(each.expires),
    contentType: each.content_type ?? "",
    headers: each.headers ?? {},
    body: typeof each.body === "string" ? bodyOf(each.body)[0] : fromBase64(each.body_base64 ?? ""),
    place: each.id,
  };
}

/** Read a page. */
export function pageOf(queue, document) {
  return {
    messages: document.messages.map((each) => new Message(members(queue, each))),
    next: needed(document, "next"),
    more: needed(document, "more"),
    stableUntil: timeOf(document.stable_until),
    gap: document.resume === "truncated",
    first: document.first ?? null,
  };
}

/** Read the messages of a claim. */
export function deliveriesOf(queue, group, document) {
  return document.messages.map(
    (each) =>
      new Delivery({
        ...members(queue, each),
        receipt: each.receipt ?? null,
        group,
        deliveries: each.deliveries ?? 1,
        lease: Number(each.lease ?? 0),
        leaseUntil: each.lease_until ? timeOf(each.lease_until) : null,
      }),
  );
}

/** Read a message that was read by its id. */
export function singleMessage(queue, answer) {
  const { headers } = answer;
  const own = headers.get("queuey-headers");
  const id = headers.get("queuey-id");
  if (!id) throw new QueueyError("the answer is not Queuey's", { code: "foreign-answer", status: answer.status });
  return new Message({
    id,
    queue,
    partition: Number(headers.get("queuey-partition")),
    timestamp: timeOf(headers.get("queuey-timestamp")),
    expires: timeOf(headers.get("queuey-expires")),
    contentType: headers.get("content-type") ?? "",
    headers: own ? JSON.parse(decodeURIComponent(own)) : {},
    body: answer.body,
    place: id,
    etag: headers.get("etag"),
  });
}

/** Read a queue or a group: its members in camelCase, and all that the server said as `document`. */
export function infoOf(document) {
  needed(document, "name");
  return { ...camel(document), document };
}

/** Write the names of members in camelCase, one level of lists and objects deep. */
function camel(document) {
  const pairs = Object.entries(document).map(([name, value]) => {
    const inner = Array.isArray(value) ? value.map((each) => (isPlain(each) ? camel(each) : each)) : value;
    return [name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()), inner];
  });
  return Object.fromEntries(pairs);
}

function isPlain(value) {
  return typeof value === "object" && value !== null;
}

/** Read what became of a write. */
export function storedOf(document, key) {
  const ids = document.messages.map((each) => needed(each, "id"));
  const { durable, consistency } = document.stored;
  return { id: ids[0], ids, duplicate: document.duplicate === true, durable, consistency, key: key || null };
}
