import assert from "node:assert/strict";
import { test } from "node:test";

import { Changed, Invalid, NotAllowed, NotPromised, QueueyError, Unavailable } from "../../lib/errors.js";
import { Retry } from "../../lib/request-retry.js";
import { TestClock, broken, json, problem, queueOf, serverOf, stored } from "./support.js";

const SOON = problem(503, "busy", { retryable: true });

test("all attempts of a post have one key", async () => {
  const server = serverOf(broken(), SOON, stored("1"));
  const { key, id } = await queueOf(server).post("a pear");
  assert.deepEqual(server.keys(), Array(3).fill(`"${key}"`));
  assert.equal(id, "1");
  assert.match(key, /^[0-9a-f]{32}$/);
});

test("each call has a key of its own, and the caller's key wins", async () => {
  const server = serverOf(stored("1"));
  const queue = queueOf(server);
  const keys = [(await queue.post("a")).key, (await queue.postAll(["a"])).key];
  assert.notEqual(keys[0], keys[1]);
  assert.equal((await queue.post("a", { idempotencyKey: 'or"der' })).key, 'or"der');
  assert.equal((await queue.post("a", { idempotencyKey: "" })).key, null);
  assert.deepEqual(server.keys().slice(2), ['"or\\"der"', undefined]);
});

test("a post without a key is not repeated if it may have been done", async () => {
  const server = serverOf(broken(), stored("1"));
  const error = await queueOf(server)
    .post("a", { idempotencyKey: "" })
    .catch((each) => each);
  assert.ok(error instanceof Unavailable);
  assert.deepEqual([error.applied, error.attempts, server.asked.length], ["unknown", 1, 1]);
});

test("what did not reach a server is repeated in any case", async () => {
  const server = serverOf(broken("ECONNREFUSED"), stored("1"));
  assert.equal((await queueOf(server).post("a", { idempotencyKey: "" })).id, "1");
});

test("a condition is not repeated if it may have been met", async () => {
  const server = serverOf(broken(), json(201, {}));
  await assert.rejects(queueOf(server).put("1", "a", { ifMatch: '"x"' }), { applied: "unknown" });
  assert.equal(await queueOf(serverOf(broken(), json(201, {}))).put("1", "a"), true);
});

test("what means the end of a queue is not repeated if it may have been done", async () => {
  for (const end of ["now", "newest"]) {
    const server = serverOf(broken(), json(200, {}));
    await assert.rejects(queueOf(server).purge(end), { applied: "unknown", attempts: 1 });
    await assert.rejects(queueOf(serverOf(broken())).group("g").seek(end), { applied: "unknown", attempts: 1 });
  }
  await queueOf(serverOf(broken(), json(200, {})))
    .group("g")
    .seek("oldest");
});

test("pauses grow with jitter, and Retry-After is the least", async () => {
  const clock = new TestClock();
  const later = problem(429, "rate-limited", { retryable: true }, { "Retry-After": "3" });
  await queueOf(serverOf(SOON, SOON, SOON, later, stored("1")), clock).post("a");
  assert.deepEqual(clock.slept, [0.05, 0.1, 0.2, 3.04]);
});

test("the deadline ends the attempts, and none begins after it", async () => {
  const clock = new TestClock();
  const error = await queueOf(serverOf(SOON), clock, { retry: new Retry({ deadline: 10 }) })
    .post("a")
    .catch((each) => each);
  assert.ok(error instanceof Unavailable && error.code === "busy");
  assert.ok(clock.seconds <= 1010 && clock.seconds > 1005, `${clock.seconds}`);
  assert.equal(error.attempts, clock.slept.length + 1);
});

test("Retry.never and a refusing `on` do not repeat", async () => {
  for (const retry of [Retry.never, new Retry({ on: (error) => error.code !== "busy" })]) {
    const server = serverOf(SOON, stored("1"));
    await assert.rejects(queueOf(server, new TestClock(), { retry }).post("a"), { code: "busy", attempts: 1 });
  }
});

test("repeats beyond the budget wait for it", async () => {
  const clock = new TestClock();
  const retry = new Retry({ deadline: 1000, least: 0.001, most: 0.001 });
  const answers = Array(30).fill(SOON);
  await queueOf(serverOf(...answers, stored("1")), clock, { retry }).post("a");
  assert.ok(clock.slept.slice(0, 10).every((pause) => pause < 0.01));
  assert.ok(
    clock.slept.slice(12).every((pause) => pause > 0.9),
    `${clock.slept}`,
  );
});

test("what is known of all attempts counts", async () => {
  const refused = problem(422, "key-reused");
  const error = await queueOf(serverOf(broken(), refused))
    .post("a")
    .catch((each) => each);
  assert.ok(error instanceof Invalid);
  assert.deepEqual([error.applied, error.attempts], ["unknown", 2]);
  await assert.rejects(queueOf(serverOf(broken(), refused)).info(), { applied: "no" });
});

test("a function is asked for another key after a 401, once", async () => {
  const keys = ["old", "new", "newer"];
  const denied = problem(401, "wrong-key");
  const server = serverOf(denied, stored("1"));
  await queueOf(server, new TestClock(), { key: async () => keys.shift() }).post("a");
  assert.deepEqual(
    server.asked.map(({ headers }) => headers.Authorization),
    ["Application old", "Application new"],
  );
  const refusing = serverOf(denied);
  await assert.rejects(queueOf(refusing, new TestClock(), { key: () => "x" }).post("a"), NotAllowed);
  assert.equal(refusing.asked.length, 2);
});

test("a server that failed is left alone while there are others", async () => {
  const server = serverOf((url) => (url.includes(":1/") ? broken() : stored("1")));
  const queue = queueOf(server, new TestClock(), { urls: ["http://127.0.0.1:1", "http://127.0.0.1:2/below/"] });
  for (let each = 0; each < 4; each++) await queue.post("a");
  const hosts = server.asked.map(({ url }) => url.slice(0, url.indexOf("/v2")));
  assert.deepEqual(hosts, ["http://127.0.0.1:1", ...Array(4).fill("http://127.0.0.1:2/below")]);
});

test("a queue that takes no keys is sent none, from the first refusal on", async () => {
  const server = serverOf(problem(409, "not-promised"), stored("1"));
  const queue = queueOf(server);
  assert.equal((await queue.post("a")).key, null);
  await queue.post("b");
  assert.deepEqual(
    server.keys().map((key) => key !== undefined),
    [true, false, false],
  );
  await assert.rejects(queueOf(serverOf(problem(409, "not-promised"))).post("a", { idempotencyKey: "x" }), NotPromised);
});

test("a signal ends a call with its reason, also in a pause", async () => {
  const stop = new AbortController();
  const waiting = serverOf(
    (_, signal) => new Promise((_done, failed) => (signal.onabort = () => failed(signal.reason))),
  );
  const call = queueOf(waiting).read({ signal: stop.signal });
  await Promise.resolve();
  stop.abort(new Error("enough"));
  await assert.rejects(call, { message: "enough" });
  const clock = new TestClock();
  clock.sleep = (_seconds, signal) => new Promise((_done, failed) => (signal.onabort = () => failed(signal.reason)));
  const other = new AbortController();
  const paused = queueOf(serverOf(SOON), clock).post("a", { signal: other.signal });
  setTimeout(() => other.abort(new Error("now")), 5);
  await assert.rejects(paused, { message: "now" });
});

test("no answer within the time is tried again", async () => {
  const hanging = (_, signal) => new Promise((_done, failed) => (signal.onabort = () => failed(signal.reason)));
  const server = serverOf(hanging, stored("1"));
  assert.equal((await queueOf(server, new TestClock(), { timeout: 0.01 }).post("a")).id, "1");
});

test("an answer that is cut is no answer", async () => {
  const half = () => {
    const body = new ReadableStream({
      start(stream) {
        stream.enqueue(new TextEncoder().encode('{"messages": ['));
        stream.error(new TypeError("terminated"));
      },
    });
    return { clone: () => new Response(body, { status: 201 }) };
  };
  const server = serverOf(half, stored("1"));
  const { key } = await queueOf(server).post("a");
  assert.deepEqual(server.keys(), [`"${key}"`, `"${key}"`]);
});

test("answers of something else are errors", async () => {
  const page = (status) => new Response("<h1>Bad\n gateway</h1>", { status, headers: { "Content-Type": "text/html" } });
  const error = await queueOf(serverOf(page(502)), new TestClock(), { retry: Retry.never })
    .post("a")
    .catch((each) => each);
  assert.ok(error instanceof Unavailable && error.retryable);
  assert.deepEqual(
    [error.code, error.applied, error.detail],
    ["http-502", "unknown", "status 502: <h1>Bad gateway</h1>"],
  );
  await assert.rejects(queueOf(serverOf(page(200))).info(), { code: "foreign-answer", name: "QueueyError" });
  await assert.rejects(queueOf(serverOf(json(200, { messages: [{}] }))).read(), { code: "foreign-answer" });
});

test("a success that was cut is asked for again, and one of something else is none", async () => {
  const half = () =>
    new Response('{"messages": [{"id"', { status: 201, headers: { "Content-Type": "application/json" } });
  const server = serverOf(half(), stored("1"));
  const { key } = await queueOf(server).post("a");
  assert.deepEqual(server.keys(), [`"${key}"`, `"${key}"`]);
  const login = new Response("<h1>Sign in</h1>", { status: 200, headers: { "Content-Type": "text/html" } });
  await assert.rejects(queueOf(serverOf(login)).post("a"), { code: "foreign-answer", applied: "unknown", attempts: 1 });
  const gateway = json(503, { code: "ServiceUnavailable" });
  const once = { retry: Retry.never };
  await assert.rejects(queueOf(serverOf(gateway), new TestClock(), once).post("a"), {
    code: "http-503",
    applied: "unknown",
  });
});

test("Retry-After may be a date", async () => {
  const at = "Wed, 26 Nov 2025 12:00:07 GMT";
  for (const [headers, seconds] of [
    [{ "Retry-After": at, Date: "Wed, 26 Nov 2025 12:00:00 GMT" }, 7],
    [{ "Retry-After": at }, 0],
    [{ "Retry-After": "soon" }, null],
  ]) {
    const busy = new Response("busy", { status: 503, headers });
    await assert.rejects(queueOf(serverOf(busy), new TestClock(), { retry: Retry.never }).post("a"), {
      retryAfter: seconds,
    });
  }
});

test("errors say what a caller can do", async () => {
  const details = { errors: [{ parameter: "ttl" }], limit: "posts" };
  const answer = problem(400, "bad-parameter", details, { "X-Request-Id": "r1" });
  const error = await queueOf(serverOf(answer))
    .info()
    .catch((each) => each);
  assert.ok(error instanceof Invalid && error instanceof QueueyError && error instanceof Error);
  assert.deepEqual([error.name, error.message], ["Invalid", "bad-parameter: about bad-parameter"]);
  assert.deepEqual([error.errors, error.limit, error.requestId], [details.errors, "posts", "r1"]);
  const classes = [
    [401, "x", "NotAllowed"],
    [403, "x", "NotAllowed"],
    [404, "x", "NotFound"],
    [405, "x", "Invalid"],
    [408, "x", "Unavailable"],
    [409, "conflict", "Changed"],
    [409, "key-in-use", "Unavailable"],
    [409, "not-promised", "NotPromised"],
    [409, "stale-receipts", "Stale"],
    [409, "another", "Invalid"],
    [410, "queue-replaced", "QueueReplaced"],
    [412, "x", "Changed"],
    [413, "x", "Invalid"],
    [422, "x", "Invalid"],
    [429, "x", "Limited"],
    [500, "x", "Unavailable"],
    [503, "x", "Unavailable"],
    [507, "x", "Limited"],
  ];
  for (const [status, code, name] of classes) {
    await assert.rejects(queueOf(serverOf(problem(status, code))).info(), { name, code, status });
  }
});

test("ensure creates, else changes what it names, and begins again if it is gone", async () => {
  const exists = problem(412, "exists");
  const server = serverOf(exists, problem(404, "no-such-queue"), exists, json(200, { name: "orders" }));
  assert.equal((await queueOf(server).ensure({ maxBytes: 3 })).name, "orders");
  assert.deepEqual(
    server.asked.map(({ method, body }) => [method, body]),
    [
      ["PUT", '{"max_bytes":3}'],
      ["PATCH", '{"max_bytes":3}'],
      ["PUT", '{"max_bytes":3}'],
      ["PATCH", '{"max_bytes":3}'],
    ],
  );
  await assert.rejects(queueOf(serverOf(exists)).put("1", "a", { ifNoneMatch: "*" }), Changed);
});

test("a deletion that a lost attempt has done is no error", async () => {
  const gone = problem(404, "no-such-message");
  await queueOf(serverOf(broken(), gone)).delete("1");
  await assert.rejects(queueOf(serverOf(gone)).delete("1"), { code: "no-such-message" });
  const noQueue = problem(404, "no-such-queue");
  await queueOf(serverOf(broken(), noQueue)).remove();
  await assert.rejects(queueOf(serverOf(broken(), noQueue)).delete("1"), { code: "no-such-queue" });
});

test("what is wrong is refused before it is sent", async () => {
  const server = serverOf(stored("1"));
  const queue = queueOf(server);
  for (const call of [
    () => queue.post(undefined),
    () => queue.post("a", { ttl: Number.NaN }),
    () => queue.post("a", { idempotencyKey: "ä" }),
    () => queue.post("a", { contentType: "application/x-ndjson" }),
    () => queue.postAll([]),
    () => queue.postAll(Array(1001).fill("a")),
    () => queue.get(".."),
    () => queue.group("g").redrive({}),
  ]) {
    await assert.rejects(async () => call(), TypeError);
  }
  for (const url of ["ftp://x", "http://x?a", "http://user@x", "no"]) {
    assert.throws(() => queueOf(server, new TestClock(), { urls: [url] }), TypeError);
  }
  assert.equal(server.asked.length, 0);
});
