/** The client of an application. */

import { queueInfo, resultOf } from "./answers.js";
import { CLOCK } from "./clock.js";
import { query } from "./encoding.js";
import { Queue } from "./queue.js";
import { Retry } from "./request-retry.js";
import { Requests } from "./requests.js";
import { parseSignedUrl } from "./signing.js";

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

  /** What the application is promised, and its limits: `GET /v2/{application}`, kept for a minute. */
  async promises({ signal } = {}) {
    return this.#requests.promises(signal);
  }

  /** The queue that a signed URL lets in to. */
  static fromSignedUrl(url, options = {}) {
    const { server, application, queue, signed } = parseSignedUrl(url);
    return new Client(server, application, { ...options, signed }).queue(queue);
  }
}
