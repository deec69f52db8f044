/** The calls of a push. */

import { pushAttempt, pushInfo, resultOf } from "./answers.js";
import { segment } from "./encoding.js";
import { ensure, remove } from "./settings.js";

/** Seconds that the server may take for a test: the longest time limit of a push, and its turn among other requests. */
const MAX_TEST = 320;

/** A push of a queue: the server sends each message to an HTTP endpoint. */
export class Push {
  #requests;
  #path;

  constructor(requests, queue, name) {
    this.name = name;
    this.queue = queue;
    this.#requests = requests;
    this.#path = `/queues/${segment(queue)}/pushes/${segment(name)}`;
  }

  /**
   * Create the push, or give it these settings and leave its others.
   *
   * The answer that created it has its `secret`. If that answer was lost, `addSecret` makes another one.
   */
  async ensure(settings = {}, { signal } = {}) {
    return resultOf(await ensure(this.#requests, this.#path, settings, signal, ["url"]), pushInfo);
  }

  /** The settings of the push, and what it does. */
  async info({ signal } = {}) {
    return resultOf(await this.#send("GET", "", { signal }), pushInfo);
  }

  /** Let it send nothing more; messages wait in the queue. */
  async pause({ signal } = {}) {
    return resultOf(await this.#send("POST", "/pause", { signal }), pushInfo);
  }

  /** Let it go on; its endpoint is tried at once. */
  async resume({ signal } = {}) {
    return resultOf(await this.#send("POST", "/resume", { signal }), pushInfo);
  }

  /** Send a test message to the endpoint, and wait for its answer. */
  async test({ signal } = {}) {
    return resultOf(await this.#send("POST", "/test", { wait: MAX_TEST, signal }), (document) => ({
      status: document.status,
      milliseconds: document.milliseconds,
      error: document.error,
      reason: document.reason,
    }));
  }

  /** The last 100 attempts, the newest first. */
  async attempts({ signal } = {}) {
    const answer = await this.#send("GET", "/attempts", { signal });
    return resultOf(answer, (document) => document.attempts.map(pushAttempt));
  }

  /** Add a secret: from now on each request has a signature of every secret. */
  async addSecret({ signal } = {}) {
    // A repeat would add another one.
    const answer = await this.#send("POST", "/secrets", { safe: false, signal });
    return resultOf(answer, ({ id, secret }) => ({ id, secret }));
  }

  /** Remove a secret by its id. One that an attempt before this one has removed is no error. */
  async removeSecret(id, { signal } = {}) {
    await remove(this.#requests, `${this.#path}/secrets/${segment(id)}`, signal);
  }

  /** Delete the push and its group; messages stay. */
  async remove({ signal } = {}) {
    await remove(this.#requests, this.#path, signal);
  }

  #send(method, what, { signal, ...more }) {
    return this.#requests.send({ method, path: `${this.#path}${what}`, ...more }, signal);
  }
}
