import assert from "node:assert/strict";
import { test } from "node:test";

import { Stale } from "../../lib/errors.js";
import { Reject, RetryLater, Verdict, defaultVerdict } from "../../lib/handler-results.js";
import { LeasedMessages } from "../../lib/leased-messages.js";
import { TestClock, broken, json, problem, queueOf, serverOf } from "./support.js";

const message = (id) => ({ id, partition: 0, receipt: `r${id}`, lease: 30, deliveries: 1, body: "text" });
const claimed = (...ids) => json(200, { messages: ids.map(message) });

test("a claim has a key, and its answer is asked for again under it", async () => {
  const server = serverOf(broken(), claimed("1"));
  const [delivery] = await queueOf(server)
    .group("g")
    .claim(3, { lease: 30, partitions: [1] });
  assert.deepEqual([delivery.receipt, delivery.text, delivery.lost, delivery.group], ["r1", "text", false, "g"]);
  assert.equal(new Set(server.keys()).size, 1);
  assert.equal(server.asked[0].body, '{"limit":3,"wait":20,"lease":30,"partitions":[1]}');
});

test("a client has a few claims under a key in force", async () => {
  const clock = new TestClock();
  const server = serverOf(claimed("1"));
  const group = queueOf(server, clock).group("g");
  for (let each = 0; each < 40; each++) await group.claim();
  assert.equal(server.keys().filter(Boolean).length, 32);
  clock.seconds += 31;
  await group.claim();
  assert.ok(server.keys().at(-1));
});

test("a claim that is blocked is followed by claims without a key, for a while", async () => {
  const clock = new TestClock();
  const server = serverOf(json(200, { messages: [], blocked: [0] }));
  const group = queueOf(server, clock).group("g");
  await group.claim();
  await group.claim();
  clock.seconds += 61;
  await group.claim();
  assert.deepEqual(server.keys().map(Boolean), [true, false, true]);
});

test("a group that takes no keys is sent none", async () => {
  const refused = problem(400, "bad-header", { errors: [{ parameter: "Idempotency-Key" }] });
  const server = serverOf(refused, claimed("1"));
  const group = queueOf(server).group("g");
  await group.claim();
  await group.claim();
  assert.deepEqual(server.keys().map(Boolean), [true, false, false]);
});

test("settlements are sent by a thousand, and all are applied though some are stale", async () => {
  const outcomes = (from, to, outcome) =>
    Array.from({ length: to - from }, (_, at) => ({ receipt: `r${from + at}`, outcome }));
  const server = serverOf(
    problem(409, "stale-receipts", { applied: "partly", outcomes: outcomes(0, 1000, "stale") }),
    json(200, { outcomes: outcomes(1000, 1500, "acked") }),
  );
  const receipts = Array.from({ length: 1500 }, (_, at) => `r${at}`);
  const error = await queueOf(server)
    .group("g")
    .ack([...receipts, "r0"])
    .catch((each) => each);
  assert.ok(error instanceof Stale);
  assert.deepEqual([error.outcomes.length, error.stale.length], [1500, 1000]);
  assert.deepEqual(
    server.asked.map(({ body }) => JSON.parse(body).ack.length),
    [1000, 500],
  );
});

test("a reason is cut between two characters", async () => {
  const server = serverOf(json(200, { outcomes: [] }));
  await queueOf(server)
    .group("g")
    .reject("r1", { reason: `a${"ä".repeat(600)}` });
  assert.equal(JSON.parse(server.asked[0].body).reject[0].reason, `a${"ä".repeat(511)}`);
});

test("a handler's error decides what becomes of a message", () => {
  const delivery = { deliveries: 4 };
  assert.deepEqual({ ...defaultVerdict(delivery, new Error("x")) }, { action: "retry", delay: 8, reason: "" });
  assert.equal(defaultVerdict({ deliveries: 30 }, null).delay, 300);
  assert.deepEqual({ ...defaultVerdict(delivery, new RetryLater(60)) }, { action: "retry", delay: 60, reason: "" });
  assert.deepEqual({ ...defaultVerdict(delivery, new Reject("no")) }, { action: "reject", delay: 0, reason: "no" });
  assert.throws(() => new RetryLater("soon"), TypeError);
  assert.throws(() => Verdict.again(-1), TypeError);
  assert.throws(() => new RetryLater(2_592_001), TypeError);
});

function leased(ids, { lease = 30, longest, receipt } = {}) {
  const messages = new LeasedMessages(lease, longest);
  const deliveries = ids.map((id) => ({ id, receipt: receipt === undefined ? `r${id}` : receipt, lease, lost: false }));
  messages.add(0, deliveries, 100);
  return messages;
}

test("leases are extended at a third, also of what waits", () => {
  const messages = leased(["1", "2"]);
  messages.take();
  assert.deepEqual([messages.due(0, 100), messages.plan(0, 109, false)], [10, null]);
  const plan = messages.plan(0, 110, false);
  assert.deepEqual(plan.settlement.extend, [
    { receipt: "r1", lease: 30 },
    { receipt: "r2", lease: 30 },
  ]);
  messages.settled(
    0,
    plan,
    new Map([
      ["r1", "extended"],
      ["r2", "stale"],
    ]),
    111,
  );
  assert.deepEqual([messages.due(0, 111), messages.take(), messages.size], [10, null, 1]);
});

test("a lease is extended for `longest` and no longer", () => {
  const messages = leased(["1"], { longest: 15 });
  messages.take();
  messages.settled(0, messages.plan(0, 110, false), new Map(), 110);
  assert.deepEqual([messages.plan(0, 120, false), messages.due(0, 120)], [null, null]);
});

test("acks are gathered", () => {
  const messages = leased(["1", "2", "3"]);
  for (let each = 0; each < 3; each++) messages.decide(messages.take(), new Verdict("ack"), 101 + each / 1000);
  assert.equal(messages.plan(0, 101.01, false), null);
  assert.equal(messages.plan(0, 101.01, true).settlement.ack.length, 3);
  assert.deepEqual([messages.unsettled, messages.running], [0, 0]);
});

test("what waits is given back, and then also what is worked on", () => {
  const messages = leased(["1", "2"]);
  const running = messages.take();
  assert.equal(messages.giveBack(101, false), 1);
  assert.ok(!running.abort.signal.aborted);
  assert.equal(messages.giveBack(101, true), 1);
  assert.ok(running.abort.signal.aborted);
  messages.decide(running, new Verdict("ack"), 102); // too late
  const { retry, ack } = messages.plan(0, 102, true).settlement;
  assert.deepEqual([retry.map(({ receipt }) => receipt), ack], [["r2", "r1"], []]);
});

test("a settlement that failed is sent again after a while, if it may help", () => {
  const messages = leased(["1"]);
  messages.decide(messages.take(), new Verdict("ack"), 101);
  const plan = messages.plan(0, 102, true);
  messages.failed(0, plan, true, 102);
  assert.deepEqual([messages.unsettled, messages.due(0, 102), messages.plan(0, 102.5, true)], [1, 1, null]);
  messages.failed(0, messages.plan(0, 103, true), false, 103);
  assert.equal(messages.unsettled, 0);
});

test("a lost lease aborts the handler's signal, and is not settled", () => {
  const messages = leased(["1"]);
  const held = messages.take();
  const lost = messages.settled(0, messages.plan(0, 110, false), new Map([["r1", "stale"]]), 110);
  assert.deepEqual([lost, held.delivery.lost, held.abort.signal.aborted], [[held], true, true]);
  messages.decide(held, new Verdict("ack"), 111);
  assert.equal(messages.unsettled, 0);
});

test("a message without a receipt is settled already", () => {
  const messages = leased(["1"], { receipt: null });
  messages.decide(messages.take(), new Verdict("ack"), 101);
  assert.deepEqual([messages.unsettled, messages.due(0, 101)], [0, null]);
});
