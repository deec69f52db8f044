import assert from "node:assert/strict";
import { test } from "node:test";

import { NotFound, Unavailable } from "../../lib/errors.js";
import { broken, json, problem, queueOf, serverOf } from "./support.js";

const URL = "https://hooks.example.com/orders";
const created = "2025-11-26T12:14:43.1698736Z";
const push = {
  name: "billing",
  url: URL,
  secrets: [{ id: "ab", created }],
  state: "failing",
  since: created,
  failures: 12,
  last_error: "timeout",
  blocked: null,
  version: "7",
};
const made = { ...push, secrets: [{ id: "ab", created, secret: "whsec_x" }], state: "active", since: null };
const there = () => problem(412, "precondition-failed");
const gone = () => problem(404, "no-such-push");
const methods = (server) => server.asked.map(({ method }) => method);

test("a push is made with a URL, and its secret is in that answer alone", async () => {
  const server = serverOf(json(201, made), there(), json(200, push), there(), gone(), json(201, made));
  const billing = queueOf(server).push("billing");
  assert.equal((await billing.ensure({ url: URL, maxDeliveries: 5, headers: { "X-A": "b" } })).secret, "whsec_x");
  assert.deepEqual(JSON.parse(server.asked[0].body), { url: URL, max_deliveries: 5, headers: { "X-A": "b" } });
  const info = await billing.ensure({ url: URL });
  assert.deepEqual([info.secret, info.state, info.lastError, info.failures], [null, "failing", "timeout", 12]);
  assert.equal(info.since.getTime(), Date.parse("2025-11-26T12:14:43.169Z"));
  assert.equal((await billing.ensure({ url: URL })).secret, "whsec_x");
  assert.deepEqual(methods(server), ["PUT", "PUT", "PATCH", "PUT", "PATCH", "PUT"]);
});

test("without a URL a push has to be there", async () => {
  const server = serverOf(json(200, push), json(200, push), gone());
  const billing = queueOf(server).push("billing");
  await billing.ensure({ rate: 5 });
  await billing.ensure();
  await assert.rejects(billing.ensure({ rate: 5 }), NotFound);
  assert.deepEqual(methods(server), ["PATCH", "GET", "PATCH"]);
});

test("what a push does can be seen and changed", async () => {
  const attempt = { time: created, id: "1-1", deliveries: 2, status: null, milliseconds: 15, error: "timeout" };
  const told = { status: 500, milliseconds: 35, error: "status-500", reason: "status-500: no" };
  const replies = [json(200, push), json(200, push), json(200, push), json(200, { pushes: [push] })];
  const server = serverOf(...replies, json(200, told), json(200, { attempts: [attempt] }));
  const queue = queueOf(server);
  const billing = queue.push("billing");
  for (const info of [await billing.info(), await billing.pause(), await billing.resume(), (await queue.pushes())[0]])
    assert.equal(info.name, "billing");
  assert.deepEqual(await billing.test(), told);
  const [found] = await billing.attempts();
  assert.deepEqual([found.id, found.status, found.error, found.time instanceof Date], ["1-1", null, "timeout", true]);
  assert.deepEqual(
    server.asked.map(({ method, url }) => `${method} ${url.split("/queues/")[1]}`),
    [
      "GET orders/pushes/billing",
      "POST orders/pushes/billing/pause",
      "POST orders/pushes/billing/resume",
      "GET orders/pushes",
      "POST orders/pushes/billing/test",
      "GET orders/pushes/billing/attempts",
    ],
  );
});

test("a secret is not asked for twice, and is removed once", async () => {
  const server = serverOf(broken(), json(201, { id: "cd", secret: "whsec_y" }), broken(), gone(), gone());
  const billing = queueOf(server).push("billing");
  await assert.rejects(billing.addSecret(), Unavailable);
  assert.deepEqual(await billing.addSecret(), { id: "cd", secret: "whsec_y" });
  await billing.removeSecret("cd");
  await assert.rejects(billing.remove(), NotFound);
});
