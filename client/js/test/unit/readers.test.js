import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { StorageCursors } from "../../lib/cursors.js";
import { Gap } from "../../lib/errors.js";
import { FileCursors } from "../../lib/file-cursors.js";
import { TestClock, json, olderServerOf, queueOf, serverOf } from "./support.js";

const page = (ids, more = false, members = {}) =>
  json(200, {
    messages: ids.map((id) => ({ id, partition: 0, body: id, timestamp: "2026-12-01T00:00:00.123456Z" })),
    next: `after-${ids.at(-1) ?? "nothing"}`,
    more,
    ...members,
  });

/** Cursors in memory; `saved` has each place. */
function memory(place = null) {
  const saved = [];
  return { saved, load: () => place, save: (_reader, each) => void saved.push(each) };
}

const texts = async (messages) => {
  const found = [];
  for await (const message of messages) found.push(message.text);
  return found;
};
const queries = (server) => server.asked.map(({ url }) => url.slice(url.indexOf("messages") + 8));

test("messages() goes from page to page, and `since` is for the first one", async () => {
  const server = serverOf(page(["1", "2"], true), page(["3"]));
  assert.deepEqual(await texts(queueOf(server).messages({ since: new Date(0), limit: 2 })), ["1", "2", "3"]);
  assert.deepEqual(queries(server), ["?since=1970-01-01T00%3A00%3A00.000Z&limit=2", "?after=after-2&limit=2"]);
});

test("a reader goes on where it was, and its place is saved with each page", async () => {
  const cursors = memory("here");
  const server = serverOf(page(["1", "2"], true), page(["3"]));
  await texts(queueOf(server).messages({ reader: "r", cursors }));
  assert.equal(queries(server)[0], "?after=here");
  assert.deepEqual(cursors.saved, ["after-2", "after-3"]);
});

test("a reader that leaves saves what it has done, and no more", async () => {
  const cursors = memory();
  for await (const message of queueOf(serverOf(page(["1", "2", "3"]))).messages({ reader: "r", cursors })) {
    if (message.id === "2") break;
  }
  assert.deepEqual(cursors.saved, ["1"]);
  const failing = async () => {
    for await (const _ of queueOf(serverOf(page(["1"]))).messages({ reader: "r", cursors })) throw new Error("mine");
  };
  await assert.rejects(failing, { message: "mine" });
  assert.deepEqual(cursors.saved, ["1"]);
});

test("a slow reader saves its place each second", async () => {
  const clock = new TestClock();
  const cursors = memory();
  for await (const _ of queueOf(serverOf(page(["1", "2", "3"])), clock).messages({ reader: "r", cursors })) {
    clock.seconds += 0.6;
  }
  assert.deepEqual(cursors.saved, ["2", "after-3"]);
});

test("a gap is thrown, warned of or passed over", async () => {
  const gap = page(["5"], false, { resume: "truncated", first: "before-5" });
  const error = await texts(queueOf(serverOf(gap)).messages({ after: "1" })).catch((each) => each);
  assert.ok(error instanceof Gap);
  assert.deepEqual([error.first, error.queue, error.code], ["before-5", "orders", "gap"]);
  assert.deepEqual(await texts(queueOf(serverOf(gap)).messages({ onGap: "ignore" })), ["5"]);
});

test("follow() begins after the newest message, waits, and ends if it is idle", async () => {
  const clock = new TestClock();
  const wait = (answer) => () => {
    clock.seconds += 5;
    return answer;
  };
  const server = olderServerOf(page(["7"]), wait(page(["8"])), wait(page([])), wait(page([])));
  assert.deepEqual(await texts(queueOf(server, clock).follow({ idle: 8 })), ["8"]);
  assert.deepEqual(queries(server), [
    "?order=desc&limit=1",
    "?after=7&wait=8",
    "?after=after-8&wait=8",
    "?after=after-nothing&wait=3",
  ]);
});

test("follow() begins at the oldest, a time or a place", async () => {
  for (const [start, query] of [
    ["oldest", "?wait=1"],
    [new Date(5), "?since=1970-01-01T00%3A00%3A00.005Z&wait=1"],
    ["place", "?after=place&wait=1"],
  ]) {
    const server = olderServerOf(page(["1"]));
    for await (const _ of queueOf(server).follow({ start, idle: 1 })) break;
    assert.deepEqual(queries(server), [query]);
  }
});

test("a server that does not wait is not asked without a pause", async () => {
  const clock = new TestClock();
  const server = olderServerOf(page([]));
  assert.deepEqual(await texts(queueOf(server, clock).follow({ start: "oldest", idle: 1 })), []);
  assert.ok(server.asked.length <= 7 && clock.slept.every((pause) => pause >= 0.2), `${server.asked.length}`);
});

test("readers are checked before they begin", () => {
  const queue = queueOf(serverOf(page([])));
  assert.throws(() => queue.messages({ onGap: "no" }), TypeError);
  assert.throws(() => queue.messages({ reader: "r", cursors: memory(), order: "desc" }), TypeError);
  assert.throws(() => queue.follow({ reader: "r" }), TypeError);
});

test("StorageCursors and FileCursors keep places", async () => {
  const kept = new Map();
  const storage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value) };
  const folder = await mkdtemp(join(tmpdir(), "queuey-js-"));
  try {
    for (const cursors of [new StorageCursors(storage), new FileCursors(join(folder, "places"))]) {
      assert.equal(await cursors.load("a/b"), null);
      await cursors.save("a/b", "one");
      await cursors.save("a/b", "two");
      assert.equal(await cursors.load("a/b"), "two");
    }
    assert.deepEqual(await readdir(join(folder, "places")), ["a%2Fb"]);
    await assert.rejects(new FileCursors(folder).save("..", "x"), TypeError);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("bodies come as they were sent", async () => {
  const document = { id: "1", partition: 0, content_type: "x/y", headers: { "queuey-key": "k" } };
  const binary = json(200, { messages: [{ ...document, body_base64: "AP8=" }], next: "n", more: false });
  const [message] = (await queueOf(serverOf(binary)).read()).messages;
  assert.deepEqual([...message.body, message.key, message.contentType], [0, 255, "k", "x/y"]);
  assert.throws(() => message.text, TypeError);
  const [stamped] = (await queueOf(serverOf(page(["1"]))).read()).messages;
  assert.deepEqual([stamped.timestamp.getTime() % 1000, stamped.json()], [123, 1]);
});
