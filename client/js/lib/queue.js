/** The calls of a queue. */

import { groupInfo, pageOf, pushInfo, queueInfo, resultOf, scheduleInfo, singleMessage, storedOf } from "./answers.js";
import {
  BATCH,
  LINES,
  compact,
  isEnd,
  keyHeader,
  newKey,
  number,
  ownHeaders,
  placeText,
  query,
  segment,
} from "./encoding.js";
import { NotFound, NotPromised } from "./errors.js";
import { Group } from "./group.js";
import { LiveRead } from "./live-read.js";
import { checkReader, following, reading } from "./reading.js";
import { Draft, batchMember } from "./messages.js";
import { Push } from "./push.js";
import { Schedule } from "./schedule.js";
import { ensure, remove } from "./settings.js";
import { signedUrl } from "./signing.js";

const MAX_BATCH = 1000;

/** A queue; the server is not asked until a method is called. Each takes a `signal` that ends the call. */
export class Queue {
  #requests;
  #path;
  #messages;

  constructor(requests, name) {
    this.name = name;
    this.#requests = requests;
    this.#path = `/queues/${segment(name)}`;
    this.#messages = `${this.#path}/messages`;
  }

  // Writing

  /** Store a message; resolves once it is as durable as the store's settings say. */
  async post(body, { idempotencyKey, signal, ...options } = {}) {
    const draft = body instanceof Draft ? body : new Draft(body, options);
    if (body instanceof Draft && Object.keys(options).length)
      throw new TypeError("a Draft has its options; give them to it");
    const type = draft.contentType.split(";")[0].trim().toLowerCase();
    if (type === BATCH || type === LINES)
      throw new TypeError(`a single message cannot be of the type ${type}; see postAll`);
    const { ttl, partition, key, delay } = draft;
    const pairs = query({ ttl: number(ttl), partition, key, delay: number(delay) });
    const headers = { "Content-Type": draft.contentType, ...ownHeaders(draft.headers) };
    return this.#store(pairs, headers, draft.body, idempotencyKey, signal);
  }

  /** Store up to 1,000 messages, all or none. */
  async postAll(drafts, { idempotencyKey, signal } = {}) {
    const found = Array.from(drafts, (each) => (each instanceof Draft ? each : new Draft(each)));
    if (!found.length) throw new TypeError("there are no messages to store");
    if (found.length > MAX_BATCH)
      throw new TypeError(`${found.length} messages are more than the ${MAX_BATCH} of a batch`);
    const body = compact({ messages: found.map((draft) => batchMember(draft)) });
    return this.#store([], { "Content-Type": BATCH }, body, idempotencyKey, signal);
  }

  /** Store a body under a key: the caller's, or one that is made here and is left out if the queue takes none. */
  async #store(pairs, headers, body, wanted, signal) {
    const requests = this.#requests;
    const own = wanted === undefined || wanted === null;
    let key = own ? (requests.keyRules.wantsKey(this.#path) ? newKey() : null) : wanted;
    const send = () =>
      requests.send(
        {
          method: "POST",
          path: this.#messages,
          query: pairs,
          headers: { ...headers, ...keyHeader(key) },
          body,
          safe: Boolean(key),
        },
        signal,
      );
    let answer;
    try {
      answer = await send();
    } catch (error) {
      if (!(error instanceof NotPromised) || !own || !key || error.applied !== "no") throw error;
      key = null;
      answer = await send();
      // Now it is known that the key was what this queue does not take.
      requests.keyRules.refuses(this.#path);
    }
    return resultOf(answer, (document) => storedOf(document, key));
  }

  /** Overwrite a message; resolves to whether it is a new one. */
  async put(id, body, { contentType, headers, ttl, ifMatch, ifNoneMatch, signal } = {}) {
    const draft = body instanceof Draft ? body : new Draft(body, { contentType, headers, ttl });
    const fields = { "Content-Type": draft.contentType, ...ownHeaders(draft.headers) };
    if (ifMatch !== undefined) fields["If-Match"] = ifMatch;
    if (ifNoneMatch !== undefined) fields["If-None-Match"] = ifNoneMatch;
    // With a condition, a repeat of what was done already would be refused, and look as if another had done it.
    const safe = ifMatch === undefined && ifNoneMatch === undefined;
    const path = `${this.#messages}/${segment(id)}`;
    const call = {
      method: "PUT",
      path,
      query: query({ ttl: number(draft.ttl) }),
      headers: fields,
      body: draft.body,
      safe,
    };
    return (await this.#requests.send(call, signal)).status === 201;
  }

  /** Delete a message. One that an attempt before this one has deleted is no error. */
  async delete(id, { signal } = {}) {
    try {
      await this.#requests.send({ method: "DELETE", path: `${this.#messages}/${segment(id)}` }, signal);
    } catch (error) {
      if (!(error instanceof NotFound) || error.code !== "no-such-message" || error.attempts === 1) throw error;
    }
  }

  /** Delete all messages before a time, an id, or `now`. */
  async purge(before = "now", { signal } = {}) {
    // At the end, a repeat would reach further.
    const call = {
      method: "DELETE",
      path: this.#messages,
      query: query({ before: placeText(before) }),
      safe: !isEnd(before),
    };
    await this.#requests.send(call, signal);
  }

  // Reading

  /** Read one page. */
  async read({ after, since, until, order, limit, maxBytes, partitions, wait = 0, fresh, signal } = {}) {
    const pairs = query({
      after,
      // A reader that has gone on does not begin again.
      since: after === undefined || after === null ? placeText(since) : undefined,
      until: placeText(until),
      order: order === "asc" ? undefined : order,
      limit,
      max_bytes: maxBytes,
      wait: wait ? number(wait) : undefined,
      fresh: fresh ? "true" : undefined,
      partition: partitions,
    });
    const answer = await this.#requests.send({ method: "GET", path: this.#messages, query: pairs, wait }, signal);
    return resultOf(answer, (document) => pageOf(this.name, document));
  }

  /** Read a message by its id; its `etag` is for `put`. */
  async get(id, { signal } = {}) {
    const answer = await this.#requests.send({ method: "GET", path: `${this.#messages}/${segment(id)}` }, signal);
    return singleMessage(this.name, answer);
  }

  /** Give all messages that are there now, page by page. */
  messages(options = {}) {
    checkReader(options);
    return reading(this, options, this.#requests.clock.now);
  }

  /** Give messages from a start on, and then those that come. It goes on by itself when a connection breaks. */
  follow(options = {}) {
    checkReader(options);
    const requests = this.#requests;
    const source = {
      name: this.name,
      liveRead: (read, start, idle) =>
        new LiveRead(requests, this.name, (from) => this.#liveCall(read, from), start, idle, read),
      page: (read, start, wait) => this.#pageFrom(read, start, wait),
    };
    return following(source, options, requests.clock);
  }

  /** The request of a live read. */
  #liveCall({ limit, maxBytes, fresh, partitions }, { after, since, end }) {
    const from = query({ after, since: placeText(since), start: (after ?? since) === undefined ? end : undefined });
    const rest = query({ limit, max_bytes: maxBytes, fresh: fresh ? "true" : undefined, partition: partitions });
    return { method: "GET", path: `${this.#path}/events`, query: [...from, ...rest] };
  }

  /** A page of a reader that begins there: after the newest message, or with all that comes to an empty queue. */
  async #pageFrom(read, start, wait) {
    let { after, since } = start;
    if (start.end === "newest") {
      const { messages } = await this.read({ ...read, order: "desc", limit: 1 });
      after = messages[0]?.place;
    }
    return this.read({ ...read, after, since, wait });
  }

  // The queue itself

  /** The settings of the queue. */
  async info({ signal } = {}) {
    return resultOf(await this.#requests.send({ method: "GET", path: this.#path }, signal), queueInfo);
  }

  /** Create the queue, or give it these settings and leave its others. Programs may call it when they start. */
  async ensure(settings = {}, { signal } = {}) {
    return resultOf(await ensure(this.#requests, this.#path, settings, signal), queueInfo);
  }

  /** Delete the queue with all its messages. */
  async remove({ signal } = {}) {
    await remove(this.#requests, this.#path, signal);
  }

  /** A consumer group; the server is not asked yet. */
  group(name) {
    return new Group(this.#requests, this.name, name);
  }

  /** All consumer groups of the queue, by name. */
  async groups({ signal } = {}) {
    const answer = await this.#requests.send({ method: "GET", path: `${this.#path}/groups` }, signal);
    return resultOf(answer, (document) => document.groups.map(groupInfo));
  }

  /** A push; the server is not asked yet. */
  push(name) {
    return new Push(this.#requests, this.name, name);
  }

  /** All pushes of the queue, by name. */
  async pushes({ signal } = {}) {
    const answer = await this.#requests.send({ method: "GET", path: `${this.#path}/pushes` }, signal);
    return resultOf(answer, (document) => document.pushes.map(pushInfo));
  }

  /** A schedule; the server is not asked yet. */
  schedule(name) {
    return new Schedule(this.#requests, this.name, name);
  }

  /** All schedules of the queue, by name. */
  async schedules({ signal } = {}) {
    const answer = await this.#requests.send({ method: "GET", path: `${this.#path}/schedules` }, signal);
    return resultOf(answer, (document) => document.schedules.map(scheduleInfo));
  }

  /** Return a URL that allows some operations for this number of seconds; for an EventSource, `path` is `events`. */
  async signedUrl(operations, seconds, { rate, path = "messages" } = {}) {
    if (path !== "messages" && path !== "events") throw new TypeError(`path is messages or events, not ${path}`);
    const { application, credentials, endpoints, clock } = this.#requests;
    const key = await credentials.applicationKey();
    const base = `${endpoints.first}/v2/${segment(application)}${this.#path}/${path}`;
    return signedUrl(base, key, application, this.name, operations, seconds, rate, clock.unixTime());
  }
}
