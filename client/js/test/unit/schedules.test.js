import assert from "node:assert/strict";
import { test } from "node:test";

import { NotFound } from "../../lib/errors.js";
import { Draft } from "../../lib/messages.js";
import { broken, json, problem, queueOf, serverOf } from "./support.js";

const next = "2025-11-27T01:30:00.0000000Z";
const schedule = {
  name: "nightly",
  cron: "30 2 * * *",
  timezone: "UTC",
  message: { body: "sales", content_type: "text/plain;charset=utf-8" },
  missed: "skip",
  next,
  state: "failing",
  since: next,
  last_posted: null,
  failures: 12,
  last_error: "storage-full",
  version: "7",
};
const there = () => problem(412, "precondition-failed");
const gone = () => problem(404, "no-such-schedule");
const methods = (server) => server.asked.map(({ method }) => method);

test("a schedule is made of a draft or of an object, and changed", async () => {
  const server = serverOf(json(201, schedule), there(), json(200, schedule), there(), gone(), json(201, schedule));
  const nightly = queueOf(server).schedule("nightly");
  const info = await nightly.ensure({ cron: "30 2 * * *", message: new Draft("sales", { key: "k" }) });
  assert.deepEqual(JSON.parse(server.asked[0].body), {
    cron: "30 2 * * *",
    message: { body: "sales", content_type: "text/plain;charset=utf-8", key: "k" },
  });
  assert.deepEqual([info.state, info.lastError, info.failures, info.lastPosted], ["failing", "storage-full", 12, null]);
  assert.equal(info.next.getTime(), Date.parse("2025-11-27T01:30:00Z"));
  const message = { body: "x" };
  await nightly.ensure({ cron: "30 2 * * *", message });
  await nightly.ensure({ cron: "30 2 * * *", message });
  assert.deepEqual(JSON.parse(server.asked[1].body).message, message);
  assert.deepEqual(methods(server), ["PUT", "PUT", "PATCH", "PUT", "PATCH", "PUT"]);
});

test("without a cron expression and a message a schedule has to be there", async () => {
  const server = serverOf(json(200, schedule), json(200, schedule), gone());
  const nightly = queueOf(server).schedule("nightly");
  await nightly.ensure({ missed: "once" });
  await nightly.ensure();
  await assert.rejects(nightly.ensure({ cron: "* * * * *" }), NotFound);
  assert.deepEqual(methods(server), ["PATCH", "GET", "PATCH"]);
});

test("what a schedule does can be seen, paused, resumed and ended", async () => {
  const paused = { ...schedule, next: null, state: "paused" };
  const replies = [json(200, schedule), json(200, paused), json(200, schedule), json(200, { schedules: [schedule] })];
  const server = serverOf(...replies, broken(), gone(), gone());
  const queue = queueOf(server);
  const nightly = queue.schedule("nightly");
  assert.equal((await nightly.info()).name, "nightly");
  assert.equal((await nightly.pause()).next, null);
  assert.equal((await nightly.resume()).state, "failing");
  assert.deepEqual(
    (await queue.schedules()).map(({ cron }) => cron),
    ["30 2 * * *"],
  );
  await nightly.remove();
  await assert.rejects(nightly.remove(), NotFound);
  assert.deepEqual(
    server.asked.slice(0, 5).map(({ method, url }) => `${method} ${url.split("/queues/")[1]}`),
    [
      "GET orders/schedules/nightly",
      "POST orders/schedules/nightly/pause",
      "POST orders/schedules/nightly/resume",
      "GET orders/schedules",
      "DELETE orders/schedules/nightly",
    ],
  );
});
