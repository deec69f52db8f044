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
export function timeOf(text) {
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
    messages: document.messages.map((each) => messageOf(queue, each)),
    next: needed(document, "next"),
    more: needed(document, "more"),
    stableUntil: timeOf(document.stable_until),
    gap: document.resume === "truncated",
    first: document.first ?? null,
    closed: document.closed === true,
  };
}

/** Read a message of a page, or of a live read. */
export function messageOf(queue, document) {
  return new Message(members(queue, document));
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

/** Read a queue. */
export function queueInfo(document) {
  return {
    name: needed(document, "name"),
    type: document.type,
    partitions: document.partitions,
    guarantee: document.guarantee,
    consistency: document.consistency,
    ttl: document.ttl,
    principals: document.principals ?? [],
    version: document.version,
    document,
  };
}

/** Read a group. */
export function groupInfo(document) {
  return {
    name: needed(document, "name"),
    lease: document.lease,
    maxDeliveries: document.max_deliveries,
    deadLetter: document.dead_letter ?? null,
    order: document.order,
    guarantee: document.guarantee,
    version: document.version,
    lag: (document.lag ?? []).map((each) => ({
      partition: each.partition,
      behind: each.behind.count,
      exact: each.behind.exact,
      inFlight: each.in_flight,
      waiting: each.waiting,
      setAside: each.set_aside,
      oldestAge: each.oldest_age ?? null,
      settledThrough: each.settled_through,
    })),
    document,
  };
}

/** Read a push. */
export function pushInfo(document) {
  const { secret } = needed(document, "secrets").find((each) => each.secret !== undefined) ?? {};
  return {
    name: needed(document, "name"),
    url: needed(document, "url"),
    state: document.state,
    since: document.since ? timeOf(document.since) : null,
    failures: document.failures,
    lastError: document.last_error,
    blocked: document.blocked,
    version: document.version,
    secret: secret ?? null,
    document,
  };
}

/** Read an attempt of a push. */
export function pushAttempt({ time, id, deliveries, status, milliseconds, error }) {
  return { time: timeOf(time), id, deliveries, status, milliseconds, error };
}

/** Read a schedule. */
export function scheduleInfo(document) {
  const time = (name) => (document[name] ? timeOf(document[name]) : null);
  return {
    name: needed(document, "name"),
    cron: needed(document, "cron"),
    timezone: document.timezone,
    missed: document.missed,
    next: time("next"),
    state: document.state,
    since: time("since"),
    lastPosted: time("last_posted"),
    failures: document.failures,
    lastError: document.last_error,
    version: document.version,
    document,
  };
}

/** Read what became of a write. */
export function storedOf(document, key) {
  const ids = document.messages.map((each) => needed(each, "id"));
  const { durable, consistency } = document.stored;
  return { id: ids[0], ids, duplicate: document.duplicate === true, durable, consistency, key: key || null };
}
