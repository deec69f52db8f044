/** The client of an application. */

import { queueInfo, resultOf } from "./answers.js";
import { CLOCK } from "./clock.js";
import { query } from "./encoding.js";
import { QueueChoice, claimMany, signedUrlOfMany } from "./many.js";
import { Queue } from "./queue.js";
import { Retry } from "./request-retry.js";
import { Requests } from "./requests.js";
import { parseSignedUrl, parseSignedUrlOfMany } from "./signing.js";

export const VERSION = "2.0.0-dev.0";

/** Browsers name themselves, and would ask whether a page may send this field. */
const AGENT = globalThis.process?.versions?.node ? { "User-Agent": `queuey-client-js/${VERSION}` } : {};

/** An application of a deployment. */
export class Client {
  #requests;

  constructor(url, application, { key, token, retry = new Retry(), timeout = 10, fetch, signed } = {}) {
    this.application = application;
    this.#requests = new Requests({
      urls: Array.isArray(url) ? url : [url],
      application,
      key,
      token,
      retry,
      timeout,
      // Looked up at each call, since pages and tests replace it.
      fetch: fetch ?? ((...request) => globalThis.fetch(...request)),
      clock: CLOCK,
      headers: AGENT,
      signed,
    });
  }

  /** A queue; the server is not asked yet. */
  queue(name) {
    return new Queue(this.#requests, name);
  }

  /** Give all queues whose names begin so, by name; they are fetched page by page. */
  async *queues(prefix = "", { signal } = {}) {
    let after;
    do {
      const call = { method: "GET", path: "/queues", query: query({ prefix: prefix || undefined, after }) };
      const answer = await this.#requests.send(call, signal);
      const [found, next] = resultOf(answer, (document) => [document.queues.map(queueInfo), document.next]);
      yield* found;
      after = next ?? undefined;
    } while (after !== undefined);
  }

  /**
   * Give messages of many queues from a start on, in one order, and then those that come, also of queues that are
   * created meanwhile: by one live read, or else by pages that wait.
   */
  follow(queues = [], { prefix, ...options } = {}) {
    return new QueueChoice(this.#requests, queues, prefix).follow(options);
  }

  /** Read a page of many queues. */
  async readMany(queues = [], { prefix, ...options } = {}) {
    return new QueueChoice(this.#requests, queues, prefix).read(options);
  }

  /**
   * Take messages under a lease from the first of several groups that has some. Each names its queue and its group, and
   * is settled there. `groups` are pairs of the names of a queue and a group. With `ack`, messages of these groups that
   * are done are acked by the same request.
   */
  async claimMany(groups, limit = 10, options = {}) {
    return claimMany(this.#requests, groups, limit, options);
  }

  /** Return a URL that lets others read many queues for this number of seconds, also with an EventSource. */
  async signedUrl(queues, seconds, { prefix, rate } = {}) {
    return signedUrlOfMany(this.#requests, new QueueChoice(this.#requests, queues, prefix), seconds, rate);
  }

  /** What the application is promised, and its limits: `GET /v2/{application}`, kept for a minute. */
  async promises({ signal } = {}) {
    return this.#requests.promises(signal);
  }

  /** The queue that a signed URL lets in to. */
  static fromSignedUrl(url, options = {}) {
    const { server, application, queue, signed } = parseSignedUrl(url);
    return new Client(server, application, { ...options, signed }).queue(queue);
  }

  /** The queues that a signed URL lets in to. */
  static choiceFromSignedUrl(url, options = {}) {
    const { server, application, queues, prefixes, signed } = parseSignedUrlOfMany(url);
    return new QueueChoice(new Client(server, application, { ...options, signed }).#requests, queues, prefixes);
  }
}
