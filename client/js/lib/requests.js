/** Sends the requests of a client: picks a server, adds credentials, repeats, pauses. */

import { attempt } from "./attempt.js";
import { resultOf } from "./answers.js";
import { queryText, segment } from "./encoding.js";
import { Credentials, Endpoints } from "./endpoints.js";
import { NoAnswer, Unavailable, errorOf, noAnswer, successError } from "./errors.js";
import { KeyRules } from "./key-rules.js";
import { Budget, mayRepeat, pauseBefore } from "./request-retry.js";

/** Seconds for which the promises of an application are kept. */
const KEPT = 60;

/** Seconds that the last attempt has at the least, however near the deadline is. */
const LEAST_TIMEOUT = 0.5;

/** What all queues and groups of a client share. */
export class Requests {
  #budget;
  #fetch;
  #root;
  #headers;
  #signed;
  #promises = null;

  /**
   * @param headers fields of each request.
   * @param signed the parameters of a signed URL, which go with each request instead of a key.
   */
  constructor({ urls, application, key, token, retry, timeout, fetch, clock, headers = {}, signed = [] }) {
    this.endpoints = new Endpoints(urls);
    this.credentials = new Credentials(key, token);
    this.keyRules = new KeyRules();
    Object.assign(this, { application, retry, timeout, clock });
    this.#budget = new Budget(retry.budget);
    this.#fetch = fetch;
    this.#headers = headers;
    this.#signed = signed;
    this.#root = `/v2/${segment(application)}`;
  }

  /**
   * Send a request until it is answered, as `Retry` says, and return the answer.
   *
   * @param request `method`, `path` below the application, `query`, `headers`, `body`; `safe`: whether it may be sent
   *   again if it is unknown whether it was done; `wait`: seconds that the server was asked to wait; `streams`: whether
   *   the answer is received piece by piece, by its `incoming`.
   * @throws QueueyError about the last attempt; its `applied` is about all attempts.
   */
  async send(request, signal) {
    const { safe = true, wait = 0 } = request;
    const { now } = this.clock;
    const deadline = now() + this.retry.deadline + wait;
    this.#budget.request(now());
    let renewed = false;
    let unsure = false;
    for (let attempts = 1; ; attempts++) {
      const base = this.endpoints.pick(now());
      const [answer, error] = await this.#attempt(request, base, deadline, signal);
      if (answer) return answer;
      if (request.method === "GET") error.applied = "no";
      error.attempts = attempts;
      if (error instanceof Unavailable && error.status !== 408) this.endpoints.failed(base, now());
      unsure ||= error.applied === "unknown";
      if (error.status === 401 && this.credentials.renewable && !renewed) {
        renewed = true;
        this.credentials.forget();
        continue;
      }
      const wanted = mayRepeat(this.retry, error, safe);
      // The last attempt did nothing, but an earlier one may have.
      if (unsure && error.applied === "no") error.applied = "unknown";
      if (!wanted) throw error;
      await this.#pause(attempts, deadline, error, signal);
    }
  }

  async #attempt({ method, path, query = [], headers, body, wait = 0, streams }, base, deadline, signal) {
    const fields = { ...this.#headers, ...headers, ...(await this.credentials.headers()) };
    const url = base + this.#root + path + queryText([...query, ...this.#signed]);
    const left = Math.max(deadline - this.clock.now(), LEAST_TIMEOUT);
    const timeout = this.retry.deadline > 0 ? Math.min(this.timeout + wait, left) : this.timeout + wait;
    try {
      const answer = await attempt(this.#fetch, { method, url, headers: fields, body, timeout, signal, streams });
      if (answer.status < 200 || answer.status >= 300) return [null, errorOf(answer)];
      const unusable = streams ? null : successError(method, answer);
      return unusable ? [null, unusable] : [answer, null];
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      return [null, noAnswer(error)];
    }
  }

  async #pause(attempts, deadline, error, signal) {
    const now = this.clock.now();
    const wanted = pauseBefore(this.retry, attempts, error.retryAfter, this.clock.random());
    const pause = Math.max(wanted, this.#budget.take(now));
    if (now + pause >= deadline) {
      this.#budget.giveBack();
      throw error;
    }
    await this.clock.sleep(pause, signal);
  }

  /** What the application is promised; it is asked for at most once a minute. */
  async promises(signal) {
    const known = this.#promises;
    if (known && this.clock.now() - known.at < KEPT) return known.found;
    const answer = await this.send({ method: "GET", path: "" }, signal);
    const found = resultOf(answer, (document) => document);
    this.#promises = { at: this.clock.now(), found };
    return found;
  }
}
