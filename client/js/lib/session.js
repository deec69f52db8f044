/** How a request is brought to a server: addresses, credentials, attempts, pauses. */

import { queryText, segment } from "./encoding.js";
import { NoAnswer, Unavailable, errorOf, noAnswer } from "./errors.js";
import { Budget } from "./retry.js";
import { attempt } from "./transport.js";
import { resultOf } from "./values.js";

/** Seconds for which a server that did not answer is left alone while there are others. */
const AVOIDED = 5;

/** Seconds for which the promises of an application are kept. */
const KEPT = 60;

/** Seconds that the last attempt has at the least, however near the deadline is. */
const LEAST_TIMEOUT = 0.5;

/** Claims under a key that a client has in force for a group: the server remembers 256 for each partition. */
const MAX_CLAIM_KEYS = 32;

/** Seconds without keys after a claim that was blocked: other clients have too many. */
const CROWDED = 60;

/** Queues and groups that a client keeps in mind. */
const MAX_NAMES = 1000;

/** The servers of a deployment. Each request takes the next one that did not fail lately. */
class Endpoints {
  #until = new Map();
  #turn = 0;

  constructor(urls) {
    for (const text of urls) {
      const url = new URL(text);
      if (!/^https?:$/.test(url.protocol) || url.search || url.hash || url.username || url.password) {
        throw new TypeError(`${text} is no URL of a server: http:// or https://, a host, a port and a path`);
      }
      this.#until.set(url.href.replace(/\/+$/, ""), 0);
    }
    if (!this.#until.size) throw new TypeError("there is no URL of a server");
  }

  get first() {
    return this.#until.keys().next().value;
  }

  /** The next one; the one that failed longest ago if all did. */
  pick(now) {
    const all = [...this.#until.keys()];
    const turn = this.#turn++ % all.length;
    const turned = [...all.slice(turn), ...all.slice(0, turn)];
    return turned.find((url) => this.#until.get(url) <= now)
      ?? turned.reduce((one, other) => (this.#until.get(other) < this.#until.get(one) ? other : one));
  }

  failed(url, now) {
    this.#until.set(url, now + AVOIDED);
  }
}

/** The application's key and the user's token; a function is called once, and again after a 401. */
class Credentials {
  #sources;
  #known = new Map();

  constructor(key, token) {
    this.#sources = Object.entries({ Application: key, Bearer: token }).filter(([, source]) => source);
  }

  get renewable() {
    return this.#sources.some(([, source]) => typeof source === "function");
  }

  forget() {
    this.#known.clear();
  }

  async applicationKey() {
    const found = this.#sources.find(([word]) => word === "Application");
    if (!found) throw new TypeError("this needs the application's key");
    return this.#secret(...found);
  }

  async headers() {
    const shown = [];
    for (const [word, source] of this.#sources) shown.push(`${word} ${await this.#secret(word, source)}`);
    return shown.length ? { Authorization: shown.join("; ") } : {};
  }

  async #secret(word, source) {
    if (typeof source !== "function") return source;
    if (!this.#known.has(word)) this.#known.set(word, await source());
    return this.#known.get(word);
  }
}

/** What all calls of a client share. */
export class Session {
  #budget;
  #fetch;
  #root;
  #agent;
  #signed;
  #promises = null;
  #withoutKeys = new Set();
  #claimKeys = new Map();

  constructor({ urls, application, key, token, retry, timeout, fetch, runtime, agent, signed = [] }) {
    this.endpoints = new Endpoints(urls);
    this.credentials = new Credentials(key, token);
    Object.assign(this, { application, retry, timeout, runtime });
    this.#budget = new Budget(retry.budget);
    this.#fetch = fetch;
    this.#agent = agent;
    this.#signed = signed;
    this.#root = `/v2/${segment(application)}`;
  }

  /**
   * Send a request until it is answered, as `Retry` says, and return the answer.
   *
   * @param call `method`, `path` below the application, `query`, `headers`, `body`; `safe`: whether it may be sent again
   *   if it is unknown whether it was done; `wait`: seconds that the server was asked to wait.
   * @throws QueueyError what the server, or the lack of it, made of the last attempt; `applied` is about all attempts.
   */
  async exchange(call, signal) {
    const { safe = true, wait = 0 } = call;
    const { now } = this.runtime;
    const deadline = now() + this.retry.deadline + wait;
    this.#budget.request(now());
    let renewed = false;
    let unsure = false;
    for (let attempts = 1; ; attempts++) {
      const base = this.endpoints.pick(now());
      const [answer, error] = await this.#attempt(call, base, deadline, signal);
      if (answer) return answer;
      if (call.method === "GET") error.applied = "no";
      error.attempts = attempts;
      if (error instanceof Unavailable && error.status !== 408) this.endpoints.failed(base, now());
      unsure ||= error.applied === "unknown";
      if (error.status === 401 && this.credentials.renewable && !renewed) {
        renewed = true;
        this.credentials.forget();
        continue;
      }
      const wanted = this.retry.wanted(error, safe);
      if (unsure && error.applied === "no") error.applied = "unknown";
      if (!wanted) throw error;
      await this.#pause(attempts, deadline, error, signal);
    }
  }

  async #attempt({ method, path, query = [], headers, body, wait = 0 }, base, deadline, signal) {
    const fields = { ...this.#agent, ...headers, ...(await this.credentials.headers()) };
    const url = base + this.#root + path + queryText([...query, ...this.#signed]);
    const left = Math.max(deadline - this.runtime.now(), LEAST_TIMEOUT);
    const timeout = this.retry.deadline > 0 ? Math.min(this.timeout + wait, left) : this.timeout + wait;
    try {
      const answer = await attempt(this.#fetch, { method, url, headers: fields, body, timeout, signal });
      return answer.status >= 200 && answer.status < 300 ? [answer, null] : [null, errorOf(answer)];
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      return [null, noAnswer(error)];
    }
  }

  async #pause(attempts, deadline, error, signal) {
    const now = this.runtime.now();
    const wanted = this.retry.pause(attempts, error.retryAfter, this.runtime.random());
    const pause = Math.max(wanted, this.#budget.take(now));
    if (now + pause >= deadline) {
      this.#budget.giveBack();
      throw error;
    }
    await this.runtime.sleep(pause, signal);
  }

  /** What the application is promised; it is asked for at most once a minute. */
  async promises(signal) {
    const known = this.#promises;
    if (known && this.runtime.now() - known.at < KEPT) return known.found;
    const answer = await this.exchange({ method: "GET", path: "" }, signal);
    const found = resultOf(answer, (document) => document);
    this.#promises = { at: this.runtime.now(), found };
    return found;
  }

  /** Whether keys of the client's own are sent for a queue, or a group. */
  takesKeys(what) {
    return !this.#withoutKeys.has(what);
  }

  /** Keep in mind that a queue, or a group, takes no keys. */
  refusesKeys(what) {
    this.#withoutKeys.add(what);
    forgetOldest(this.#withoutKeys);
  }

  /** Whether the next claim of a group may have a key. */
  roomForClaimKey(group) {
    if (!this.takesKeys(group)) return false;
    const ends = (this.#claimKeys.get(group) ?? []).filter((until) => until > this.runtime.now());
    if (ends.length) this.#claimKeys.set(group, ends);
    else this.#claimKeys.delete(group);
    return ends.length < MAX_CLAIM_KEYS;
  }

  /** Count a claim that has given messages under a key, until their leases end. */
  usedClaimKey(group, until) {
    const ends = this.#claimKeys.get(group) ?? [];
    this.#claimKeys.set(group, [...ends, until].slice(-MAX_CLAIM_KEYS));
    forgetOldest(this.#claimKeys);
  }

  /** Claim without a key for a while. */
  crowdedClaimKeys(group) {
    this.#claimKeys.set(group, Array(MAX_CLAIM_KEYS).fill(this.runtime.now() + CROWDED));
    forgetOldest(this.#claimKeys);
  }
}

function forgetOldest(collection) {
  if (collection.size > MAX_NAMES) collection.delete(collection.keys().next().value);
}
