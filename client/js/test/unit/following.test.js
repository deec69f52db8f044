// Readers that follow by live reads, and by waits before servers that have none.
import assert from "node:assert/strict";
import { test } from "node:test";

import { CLOCK } from "../../lib/clock.js";
import { Gap, NotAllowed, NotFound, QueueReplaced, Unavailable } from "../../lib/errors.js";
import { LineReader } from "../../lib/live-lines.js";
import { Retry } from "../../lib/request-retry.js";
import { begun, came, caughtUp, encode, gap, lines, liveServerOf, refusal, texts } from "./live-support.js";
import { TestClock, broken, json, problem, queueOf } from "./support.js";

/** Bytes in pieces of this size. */
function* cutInto(bytes, size) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test("a break at any byte loses nothing and repeats nothing", async () => {
  const bodies = [1, 2, 3].map((number) => `grüße ${number}\n`.repeat(number));
  const rest = (place) => bodies.flatMap((body, at) => (at + 1 > Number(place.slice(1)) ? [came(at + 1, body)] : []));
  const whole = (query) => {
    const place = query.get("after") ?? "p0";
    return lines(begun(place), ...rest(place), caughtUp("p3"));
  };
  const { length } = whole(new URLSearchParams());
  for (const [size, step] of [
    [5, 7],
    [1 << 20, 1],
  ]) {
    for (let cut = 0; cut < length; cut += step) {
      let connections = 0;
      const server = liveServerOf((query) =>
        connections++ ? [...cutInto(whole(query), size)] : [...cutInto(whole(query).subarray(0, cut), size), broken()],
      );
      assert.deepEqual(await texts(queueOf(server).follow({ start: "oldest", idle: 0 })), bodies, `${cut} of ${size}`);
      assert.equal(server.leftOpen(), 0);
    }
  }
});

test("it comes back after as long as the server has said, at the place of the last line", async () => {
  const clock = new TestClock();
  const server = liveServerOf([
    [lines(begun(), caughtUp("p0")), lines({ next: "p5" }), broken()],
    [lines(begun("p5"), { retry: 700 })],
    [lines(begun("p5", 1e9)), broken()],
    [lines(begun("p5"), came(6))],
  ]);
  assert.deepEqual(await texts(queueOf(server, clock).follow(), 1), ["body 6"]);
  assert.deepEqual(server.queries, ["?start=newest", "?after=p5", "?after=p5", "?after=p5"]);
  assert.deepEqual(clock.slept, [2.5, 0.7, 60]);
});

test("starts", async () => {
  for (const [options, query] of [
    [{}, "?start=newest"],
    [{ start: "oldest" }, "?start=oldest"],
    [{ start: new Date(5) }, "?since=1970-01-01T00%3A00%3A00.005Z"],
    [{ start: "place", partitions: [2, 3] }, "?after=place&partition=2&partition=3"],
    [{ reader: "r", cursors: { load: () => "mine", save() {} } }, "?after=mine"],
  ]) {
    const server = liveServerOf([[lines(begun(), came(1))]]);
    assert.deepEqual(await texts(queueOf(server).follow(options), 1), ["body 1"]);
    assert.deepEqual([server.queries, server.asked, server.leftOpen()], [[query], [], 0]);
  }
});

test("refusals are thrown, at first and meanwhile", async () => {
  for (const [code, status, kind] of [
    ["unauthorized", 401, NotAllowed],
    ["forbidden", 403, NotAllowed],
    ["no-such-queue", 404, NotFound],
    ["queue-replaced", 410, QueueReplaced],
  ]) {
    await assert.rejects(texts(queueOf(liveServerOf([problem(status, code)])).follow()), kind);
    const server = liveServerOf([[lines(begun(), came(1), refusal(code, status, { oldest: "first" }))]]);
    const found = queueOf(server).follow();
    assert.equal((await found.next()).value.text, "body 1");
    await assert.rejects(found.next(), (error) => error instanceof kind && (error.oldest ?? "first") === "first");
    assert.equal(server.leftOpen(), 0);
  }
});

test("a server that fails for longer than the deadline is an error", async () => {
  for (const end of [broken(), lines(refusal("unavailable", 503, { retryable: true })), encode("<html>\n")]) {
    const server = liveServerOf(() => [lines(begun()), end]);
    await assert.rejects(texts(queueOf(server).follow({ start: "p0" })), Unavailable);
    assert.ok(server.queries.length > 20 && server.queries.length < 40, String(server.queries.length));
  }
  const server = liveServerOf([[lines(begun(), came(1), { retry: 1 })], [lines(begun(), came(2)), broken()]]);
  const found = queueOf(server, new TestClock(), { retry: Retry.never }).follow();
  assert.deepEqual([(await found.next()).value.text, (await found.next()).value.text], ["body 1", "body 2"]);
  await assert.rejects(found.next(), Unavailable);
});

test("a key that is rotated is asked for again", async () => {
  let keys = 0;
  const server = liveServerOf([
    [lines(begun(), came(1), refusal("unauthorized", 401))],
    problem(401, "unauthorized"),
    [lines(begun("p1"), came(2))],
  ]);
  const queue = queueOf(server, new TestClock(), { key: () => String(++keys) });
  assert.deepEqual(await texts(queue.follow(), 2), ["body 1", "body 2"]);
  assert.equal(keys, 3);
});

test("gaps are where they are", async () => {
  const follow = (onGap) =>
    queueOf(liveServerOf([[lines(begun(), came(1), gap("p4", "p1"), came(5))]])).follow({ onGap });
  const found = follow("raise");
  assert.equal((await found.next()).value.text, "body 1");
  await assert.rejects(found.next(), (error) => error instanceof Gap && error.first === "p4");
  assert.deepEqual(await texts(follow("ignore"), 2), ["body 1", "body 5"]);
});

test("places are kept, those of signs of life too", async () => {
  const saved = [];
  const cursors = { load: () => null, save: (_, place) => void saved.push(place) };
  const pieces = [lines(begun(), came(1), came(2)), lines({ next: "p9" }), lines(caughtUp("p10"))];
  await texts(queueOf(liveServerOf([pieces])).follow({ start: "oldest", reader: "r", cursors, idle: 0 }));
  assert.deepEqual(saved, ["p2", "p9", "p10"]);
});

test("it ends when a queue is closed, and when it was idle", async () => {
  const closed = [lines(begun(), came(1), caughtUp("p1"), { closed: true, next: "p1" })];
  assert.deepEqual(await texts(queueOf(liveServerOf([closed])).follow({ start: "oldest" })), ["body 1"]);
  const server = liveServerOf([[lines(begun(), came(1)), lines(caughtUp("p1"), { next: "p1" }), "silence"]]);
  const began = CLOCK.now();
  assert.deepEqual(await texts(queueOf(server, CLOCK).follow({ start: "oldest", idle: 0.1 })), ["body 1"]);
  assert.ok(CLOCK.now() - began >= 0.09);
  assert.deepEqual([server.queries.length, server.leftOpen()], [1, 0]);
});

test("a signal ends it, and its connection", async () => {
  for (const pieces of [["silence"], [lines(begun(), caughtUp("p0")), "silence"]]) {
    const server = liveServerOf([pieces]);
    const stop = new AbortController();
    const waiting = texts(queueOf(server).follow({ signal: stop.signal }));
    while (!server.opened.length) await new Promise((resolve) => setTimeout(resolve));
    stop.abort(new Error("enough"));
    await assert.rejects(waiting, { message: "enough" });
    assert.equal(server.leftOpen(), 0);
  }
  const server = liveServerOf([[lines(begun(), came(1), came(2))]]);
  for await (const _ of queueOf(server).follow()) break;
  assert.equal(server.leftOpen(), 0);
});

test("before an older server and odd proxies it waits for pages, from where it was", async () => {
  const page = (...numbers) =>
    json(200, { messages: numbers.map((number) => came(number).message), next: `p${numbers.at(-1)}`, more: false });
  for (const refused of [
    problem(404, "not-found"),
    new Response("", { status: 404 }),
    problem(405, "no"),
    json(200, {}),
  ]) {
    const server = liveServerOf([refused], page(7), page(8));
    assert.deepEqual(await texts(queueOf(server).follow(), 1), ["body 8"]);
    assert.deepEqual([server.queries.length, server.asked.length], [1, 2]);
  }
  const server = liveServerOf([[lines(begun(), came(1)), broken()], problem(404, "not-found")], page(2));
  assert.deepEqual(await texts(queueOf(server).follow(), 2), ["body 1", "body 2"]);
  assert.deepEqual(server.asked, ["?after=p1&wait=20"]);
  const silent = liveServerOf([["silence"], ["silence"]], page(8));
  const queue = queueOf(silent, new TestClock(), { timeout: 0.05 });
  assert.deepEqual(await texts(queue.follow({ start: "p7" }), 1), ["body 8"]);
  assert.equal(silent.leftOpen(), 0);
});

test("lines that are none, and those that are new", async () => {
  for (const garbage of [
    "[",
    '{"message": {}, "next": "p9"}',
    '{"message": {"id": "1", "partition": 1}}',
    '{"gap": {}}',
    '{"retry": "x"}',
    "null",
  ]) {
    const server = liveServerOf([[lines(begun(), came(1)), encode(`${garbage}\n`)], [lines(begun("p1"), came(2))]]);
    assert.deepEqual(await texts(queueOf(server).follow(), 2), ["body 1", "body 2"], garbage);
  }
  const server = liveServerOf([[lines(begun(), { news: 1 }, { more: {}, next: "p3" }, { ...came(4), more: 1 })]]);
  assert.deepEqual(await texts(queueOf(server).follow(), 1), ["body 4"]);
  const reader = new LineReader("q");
  const piece = new Uint8Array(64 << 20);
  assert.throws(() => {
    for (let each = 0; each < 5; each++) reader.read(piece);
  }, TypeError);
});
