// What the tests share: a server that is a list of answers, and a clock that only sleeps move.
import { Queue } from "../../lib/queue.js";
import { Retry } from "../../lib/request-retry.js";
import { Requests } from "../../lib/requests.js";

/** A clock whose sleeps end at once; `slept` has how long they would have taken. */
export class TestClock {
  seconds = 1000;
  slept = [];
  now = () => this.seconds;
  unixTime = () => 1_700_000_000;
  random = () => 0.5;
  sleep = async (seconds, signal) => {
    signal?.throwIfAborted();
    this.slept.push(seconds);
    this.seconds += seconds;
  };
}

/** An answer with JSON. */
export function json(status, document, headers = {}) {
  const type = status < 400 ? "application/json" : "application/problem+json";
  return new Response(JSON.stringify(document), { status, headers: { "Content-Type": type, ...headers } });
}

/** A problem document. */
export function problem(status, code, members = {}, headers = {}) {
  return json(status, { code, detail: `about ${code}`, retryable: false, applied: "no", ...members }, headers);
}

/** The answer to a POST. */
export function stored(...ids) {
  return json(201, { messages: ids.map((id) => ({ id })), stored: { durable: true, consistency: "strong" } });
}

/** What `fetch` of Node.js throws if a connection breaks. */
export function broken(code = "ECONNRESET") {
  return Object.assign(new TypeError("fetch failed"), { cause: Object.assign(new Error("gone"), { code }) });
}

/** The last answer is given again and again; an error among them is thrown; a function makes one. */
export function serverOf(...answers) {
  const asked = [];
  const fetch = async (url, { method, headers, body, signal }) => {
    asked.push({ url, method, headers, body: body && new TextDecoder().decode(body) });
    const next = answers.length > 1 ? answers.shift() : answers[0];
    const answer = typeof next === "function" ? await next(url, signal) : next;
    if (answer instanceof Error) throw answer;
    return answer.clone();
  };
  return { asked, fetch, keys: () => asked.map(({ headers }) => headers["Idempotency-Key"]) };
}

/** The same, of a server that has no live reads: what it answers for them is none of the answers. */
export function olderServerOf(...answers) {
  const { asked, fetch } = serverOf(...answers);
  const live = [];
  const older = async (url, options) => {
    if (!new URL(url).pathname.endsWith("/events")) return fetch(url, options);
    live.push(url);
    return problem(404, "not-found");
  };
  return { asked, live, fetch: older };
}

/** What a client of such a server sends its requests by. */
export function requestsOf(server, clock = new TestClock(), options = {}) {
  return new Requests({
    urls: ["http://127.0.0.1:1"],
    application: "app",
    key: "secret",
    retry: new Retry(),
    timeout: 10,
    clock,
    fetch: server.fetch,
    ...options,
  });
}

/** A queue before such a server. */
export function queueOf(server, clock, options) {
  return new Queue(requestsOf(server, clock, options), "orders");
}
