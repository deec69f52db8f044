// The client before a daemon; QUEUEY_URL says where that is. tests/live/client/test_javascript.py runs it.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, Draft, Invalid, NotAllowed, NotFound, NotPromised, Reject, Stale } from "queuey-client";

const URL = process.env.QUEUEY_URL;
const KEY = "f25bfb8fe200475c8a0532a9cbe7651e";
const client = new Client(URL, "queuey", { key: KEY });

let made = 0;
/** A queue of its own for each test. */
async function newQueue(settings = {}) {
  const queue = client.queue(`${process.pid}-${++made} ä?&b`);
  await queue.ensure(settings);
  return queue;
}

async function all(messages) {
  const found = [];
  for await (const message of messages) found.push(message);
  return found;
}

const texts = async (messages) => (await all(messages)).map((message) => message.text);

test("posts and reads", async () => {
  const queue = await newQueue();
  const first = await queue.post({ pears: 3 }, { idempotencyKey: "order-1" });
  const again = await queue.post({ pears: 3 }, { idempotencyKey: "order-1" });
  assert.deepEqual([first.duplicate, again.duplicate, again.id, first.durable], [false, true, first.id, true]);
  await assert.rejects(queue.post({ pears: 4 }, { idempotencyKey: "order-1" }), Invalid);
  await queue.post("grüße", { key: "k", ttl: 60, headers: { "x-ä": ["1", 2] } });
  const image = new Draft(new Uint8Array([0, 255]), { contentType: "image/x-tiny", headers: { from: "ü" } });
  assert.equal((await queue.postAll([image, "last", [1]])).ids.length, 3);
  const messages = await all(queue.messages());
  assert.deepEqual(messages[0].json(), { pears: 3 });
  assert.deepEqual(
    messages.map((each) => each.contentType),
    ["application/json", "text/plain;charset=utf-8", "image/x-tiny", "text/plain;charset=utf-8", "application/json"],
  );
  assert.deepEqual([messages[1].text, messages[1].key, messages[1].headers["x-ä"]], ["grüße", "k", ["1", 2]]);
  assert.deepEqual([[...messages[2].body], messages[2].headers.from], [[0, 255], "ü"]);
  assert.ok(Math.abs(messages[1].expires - messages[1].timestamp - 60_000) < 1000);
  assert.ok(Math.abs(Date.now() - messages[1].timestamp) < 120_000);
});

test("overwrites, looks up and deletes", async () => {
  const queue = await newQueue();
  const { id } = await queue.post("one", { headers: { a: 1 } });
  const found = await queue.get(id);
  assert.deepEqual([found.text, found.headers, found.id], ["one", { a: 1 }, id]);
  assert.equal(await queue.put(id, "two", { ifMatch: found.etag }), false);
  await assert.rejects(queue.put(id, "three", { ifMatch: found.etag }), { name: "Changed", applied: "no" });
  assert.equal((await queue.get(id)).text, "two");
  await queue.delete(id);
  await assert.rejects(queue.get(id), { name: "NotFound", code: "no-such-message", attempts: 1 });
  await queue.post("x");
  await queue.purge();
  assert.deepEqual(await texts(queue.messages()), []);
});

test("creates, changes and removes queues and groups", async () => {
  const queue = await newQueue({ partitions: 3 });
  const group = queue.group("g");
  const made = await group.ensure({ maxDeliveries: 7 });
  assert.deepEqual([made.maxDeliveries, made.document.max_deliveries], [7, 7]);
  assert.equal((await group.ensure({ lease: 9 })).maxDeliveries, 7);
  const info = await group.info();
  assert.deepEqual([info.lease, info.lag.length, info.lag[0].inFlight], [9, 3, 0]);
  assert.deepEqual(
    (await queue.groups()).map((each) => each.name),
    ["g"],
  );
  assert.equal((await queue.info()).partitions, 3);
  const names = [];
  for await (const each of client.queues(queue.name.slice(0, -3))) names.push(each.name);
  assert.deepEqual(names, [queue.name]);
  assert.ok((await client.promises()).limits);
  await group.remove();
  await queue.remove();
  await assert.rejects(queue.info(), NotFound);
});

test("follows what comes, and goes on from a place", async () => {
  const queue = await newQueue();
  await queue.post("before");
  const stop = new AbortController();
  const seen = [];
  const following = (async () => {
    for await (const message of queue.follow({ signal: stop.signal })) {
      seen.push(message);
      if (seen.length === 3) break;
    }
  })();
  const read = queue.follow({ start: "oldest", idle: 5 });
  assert.equal((await read.next()).value.text, "before");
  for (let each = 0; each < 50 && seen.length < 3; each++) await queue.post(String(each));
  await following;
  await read.return();
  const rest = await texts(queue.follow({ start: seen[1].place, idle: 0 }));
  assert.equal(rest[0], seen[2].text);
  const waiting = queue.follow({ signal: stop.signal }).next();
  stop.abort(new Error("enough"));
  await assert.rejects(waiting, { message: "enough" });
});

test("claims and settles", async () => {
  const queue = await newQueue();
  const dead = await newQueue();
  const group = queue.group("g");
  await group.ensure({ deadLetter: dead.name });
  await queue.postAll(["a", "b", "c", "d"]);
  const [a, b, c, d] = await group.claim(10, { wait: 0 });
  assert.deepEqual([a.text, a.deliveries, a.queue, a.group], ["a", 1, queue.name, "g"]);
  assert.equal((await group.ack(a))[0][1], "acked");
  assert.equal((await group.ack(a))[0][1], "already-acked");
  await group.retry(b);
  await group.reject([c], { reason: "bad" });
  await group.extend(d, { lease: 60 });
  const [again] = await group.claim(10, { wait: 0 });
  assert.deepEqual([again.text, again.deliveries], ["b", 2]);
  const error = await group.settle({ ack: [b.receipt, d.receipt] }).catch((each) => each);
  assert.ok(error instanceof Stale);
  assert.deepEqual(error.stale, [b.receipt]);
  assert.deepEqual(await texts(dead.messages()), ["c"]);
  assert.deepEqual(await group.redrive({ all: true }), { moved: 1, left: {} });
  assert.deepEqual(
    (await group.claim(1, { wait: 1 })).map((each) => each.text),
    ["c"],
  );
  await group.seek("oldest");
  assert.equal((await group.claim(1, { wait: 1 }))[0].text, "a");
});

test("reads, follows and claims from many queues", async () => {
  const [a, b] = [await newQueue(), await newQueue({ partitions: 3 })];
  const later = client.queue(`${b.name} later`);
  await a.post("one");
  await b.post("two");
  const { messages, next } = await client.readMany([a.name, b.name], { start: "oldest" });
  assert.deepEqual(
    messages.map(({ queue, text }) => [queue, text]),
    [
      [a.name, "one"],
      [b.name, "two"],
    ],
  );
  const choice = Client.choiceFromSignedUrl(await client.signedUrl([a.name], 60, { prefix: b.name }));
  const follow = choice.follow({ start: messages[0].place });
  assert.equal((await follow.next()).value.text, "two");
  await later.ensure();
  await later.post("three");
  const { value } = await follow.next();
  assert.deepEqual([value.queue, value.text], [later.name, "three"]);
  await follow.return();
  assert.deepEqual(await texts(client.follow([a.name], { prefix: b.name, start: next, idle: 0 })), ["three"]);
  const forged = (await client.signedUrl([a.name], 60)).replace(/queue=[^&]*/, `queue=${encodeURIComponent(b.name)}`);
  await assert.rejects(Client.choiceFromSignedUrl(forged).read(), NotAllowed);
  const groups = [b, a].map(({ name }) => [name, "w"]);
  for (const [name] of groups) await client.queue(name).group("w").ensure();
  const [first] = await client.claimMany(groups, 1, { wait: 0 });
  const [second] = await client.claimMany(groups, 1, { wait: 0 });
  assert.deepEqual([first.queue, second.queue, second.group], [b.name, a.name, "w"]);
  for (const each of [first, second]) await client.queue(each.queue).group(each.group).ack(each);
  assert.deepEqual(await client.claimMany(groups, 1, { wait: 0, order: "fair" }), []);
});

test("a gap in one of many queues comes after the messages of the others", async () => {
  const [a, b] = [await newQueue(), await newQueue()];
  const { next } = await client.readMany([a.name, b.name]);
  await a.post("lost");
  await b.post("kept");
  await a.purge();
  await a.post("left");
  const found = client.follow([a.name, b.name], { start: next });
  const seen = [(await found.next()).value.text, (await found.next()).value.text];
  assert.deepEqual(seen, ["kept", "left"]);
  const error = await found.next().catch((each) => each);
  assert.deepEqual([error.name, error.queue], ["Gap", a.name]);
  await b.post("more");
  assert.deepEqual(await texts(client.follow([a.name, b.name], { start: error.first, idle: 0 })), ["more"]);
});

test("signed URLs let in to what they say, for as long as they say", async () => {
  const queue = await newQueue();
  await queue.post("for all");
  const reader = Client.fromSignedUrl(await queue.signedUrl(["read"], 60, { rate: 1000 }));
  assert.equal(reader.name, queue.name);
  assert.deepEqual(await texts(reader.messages()), ["for all"]);
  await assert.rejects(reader.post("x"), NotAllowed);
  const both = Client.fromSignedUrl(await queue.signedUrl(["write", "claim"], 60));
  await both.post("through a URL");
  await queue.group("g").ensure();
  assert.equal((await both.group("g").claim(10, { wait: 0 })).length, 2);
  const forged = (await queue.signedUrl(["read"], 60)).replace("signed_for=read", "signed_for=write");
  await assert.rejects(Client.fromSignedUrl(forged).post("x"), NotAllowed);
  await assert.rejects(queue.signedUrl(["post"], 60), TypeError);
  assert.throws(() => Client.fromSignedUrl(`${URL}/v2/queuey/queues/x/messages`), TypeError);
});

test("errors say what a caller can do", async () => {
  await assert.rejects(client.queue("nowhere").post("x"), { name: "NotFound", applied: "no", attempts: 1 });
  await assert.rejects(new Client(URL, "queuey", { key: "wrong" }).queue("q").post("x"), NotAllowed);
  const queue = await newQueue();
  await assert.rejects(queue.read({ limit: -1 }), (error) => error instanceof Invalid && error.errors.length === 1);
  await assert.rejects(queue.ensure({ guarantee: "perhaps" }), Invalid);
});

test("queues and groups that take no keys are sent none", async () => {
  const queue = await newQueue({ guarantee: "at-most-once" });
  await queue.post("a");
  const group = queue.group("g");
  await group.ensure();
  const [delivery] = await group.claim(1, { wait: 0 });
  assert.deepEqual([delivery.text, delivery.receipt], ["a", null]);
  assert.deepEqual(await group.ack(delivery), []);
  await assert.rejects(queue.group("h").ensure({ guarantee: "exactly-once", nothing: 1 }), (error) => {
    return error instanceof Invalid || error instanceof NotPromised;
  });
});

test("a worker works, retries, rejects and settles", async () => {
  const queue = await newQueue();
  const dead = await newQueue();
  const group = queue.group("g");
  await group.ensure({ deadLetter: dead.name });
  await queue.postAll(["good", "bad", "later", "good"]);
  const events = [];
  const done = [];
  const worker = group.worker(
    async (delivery) => {
      if (delivery.text === "bad") throw new Reject("no");
      if (delivery.text === "later" && delivery.deliveries === 1) throw new Error("not yet");
      done.push(delivery.text);
      if (done.length === 3) worker.stop();
    },
    { concurrency: 2, retry: () => undefined, onEvent: async (event) => void events.push(event) },
  );
  assert.equal(await worker.run({ signals: false }), 0);
  assert.deepEqual([done, worker.busy, worker.error], [["good", "good", "later"], 0, null]);
  assert.deepEqual(await texts(dead.messages()), ["bad"]);
  assert.equal((await group.info()).lag[0].behind, 0);
  assert.deepEqual(new Set(events), new Set(["claimed", "handled", "failed", "stopping", "stopped"]));
});

test("a worker extends leases, also of what waits", async () => {
  const queue = await newQueue();
  const group = queue.group("g");
  await group.ensure();
  await queue.postAll(["a", "b"]);
  const seen = [];
  const worker = group.worker(
    async (delivery) => {
      await new Promise((done) => setTimeout(done, 1600));
      seen.push([delivery.text, delivery.deliveries, delivery.lost]);
      if (seen.length === 2) worker.stop();
    },
    { concurrency: 1, lease: 1 },
  );
  assert.equal(await worker.run({ signals: false }), 0);
  assert.deepEqual(seen, [
    ["a", 1, false],
    ["b", 1, false],
  ]);
  assert.equal((await group.info()).lag[0].behind, 0);
});

test("a lease that is lost is told, and the handler is asked to stop", async () => {
  const queue = await newQueue();
  const group = queue.group("g");
  await group.ensure();
  await queue.post("a");
  const lost = [];
  const worker = group.worker(
    async (delivery, { signal }) => {
      // As long as this runs, another worker takes the message and acks it.
      await group.retry(delivery);
      await group.ack(await group.claim(1, { wait: 5 }));
      await new Promise((done) => signal.addEventListener("abort", done));
      lost.push(delivery.lost);
      worker.stop();
    },
    {
      concurrency: 1,
      prefetch: 0,
      lease: 1,
      onEvent: (event, { delivery }) => event === "lost" && lost.push(delivery.text),
    },
  );
  assert.equal(await worker.run({ signals: false }), 0);
  assert.deepEqual(lost, ["a", true]);
});

test("a worker stops: what waits is given back, and what is not finished in time too", async () => {
  const queue = await newQueue();
  const group = queue.group("g");
  await group.ensure();
  await queue.postAll(["a", "b", "c"]);
  const stop = new AbortController();
  const worker = group.worker(
    async (_, { signal }) => {
      stop.abort();
      await new Promise((done) => signal.addEventListener("abort", done));
    },
    { concurrency: 1 },
  );
  assert.equal(await worker.run({ signal: stop.signal, grace: 0.2 }), 1);
  assert.equal((await group.claim(10, { wait: 0 })).length, 3);
});

test("makes, changes, pauses and removes a schedule", async () => {
  const queue = await newQueue();
  const schedule = queue.schedule("s");
  const made = await schedule.ensure({ cron: "30 2 * * *", message: new Draft("sales", { key: "k" }) });
  assert.deepEqual([made.state, made.missed, made.next.getUTCMinutes()], ["active", "skip", 30]);
  assert.equal((await schedule.ensure({ missed: "once" })).missed, "once");
  assert.equal((await schedule.pause()).state, "paused");
  assert.equal((await schedule.resume()).state, "active");
  assert.deepEqual(
    (await queue.schedules()).map(({ name }) => name),
    ["s"],
  );
  await schedule.remove();
  await assert.rejects(schedule.info(), NotFound);
});

test("makes, tests, changes and removes a push", async () => {
  const queue = await newQueue();
  const push = queue.push("p");
  const made = await push.ensure({ url: process.env.QUEUEY_ENDPOINT, maxDeliveries: 5 });
  assert.match(made.secret, /^whsec_/);
  const changed = await push.ensure({ parallel: 2 });
  assert.deepEqual([changed.secret, changed.document.max_deliveries, changed.document.parallel], [null, 5, 2]);
  assert.equal((await push.test()).status, 204);
  assert.equal((await push.pause()).state, "paused");
  assert.equal((await push.resume()).state, "active");
  const { id } = await push.addSecret();
  await push.removeSecret(id);
  assert.deepEqual(
    (await queue.pushes()).map(({ name }) => name),
    ["p"],
  );
  await push.remove();
  await assert.rejects(push.info(), NotFound);
});

test("a worker whose key is wrong ends with that", async () => {
  const worker = new Client(URL, "queuey", { key: "wrong" })
    .queue("q")
    .group("g")
    .worker(() => {}, { onEvent() {} });
  await assert.rejects(worker.run({ signals: false }), NotAllowed);
  assert.equal(worker.healthy, false);
});
