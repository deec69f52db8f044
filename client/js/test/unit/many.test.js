// Many queues: pages of them, readers that follow, claims of several groups, and signed URLs.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Gap, Invalid, NotAllowed, NotFound } from "../../lib/errors.js";
import { QueueChoice, claimMany, signedUrlOfMany } from "../../lib/many.js";
import { choiceLine } from "../../lib/signing.js";
import { Client } from "../../queuey.js";
import { begun, caughtUp, lines, liveServerOf, refusal, texts } from "./live-support.js";
import { TestClock, broken, json, problem, requestsOf, serverOf } from "./support.js";

const chosen = (server, ...choice) => new QueueChoice(requestsOf(server), ...choice);
const message = (queue, number) => ({ queue, id: `id-${number}`, partition: 1, body: `body ${number}` });
const came = (queue, number) => ({ message: message(queue, number), next: `p${number}` });
const gap = (next, members = { queue: "b" }) => ({ gap: { ...members, resume: "truncated", why: "purged" }, next });
const opened = (next) => ({ open: { queues: 2, not_readable: 0 }, next });
const page = (messages, next, members = {}) =>
  json(200, {
    messages: messages.map(([queue, number]) => ({ ...message(queue, number), place: `p${number}` })),
    next,
    more: false,
    ...members,
  });
const purged = { resume: "truncated", gaps: [{ queue: "b", why: "purged", first: "p4" }] };

test("a page names the queue of each message, and its place in all of them", async () => {
  const server = serverOf(
    page(
      [
        ["a", 1],
        ["b", 2],
      ],
      "p2",
    ),
  );
  const options = { limit: 7, wait: 5, start: "oldest", maxBytes: 100, fresh: true };
  const found = await chosen(server, ["a", "b"], "room-").read(options);
  assert.deepEqual(
    found.messages.map(({ queue, place, text }) => [queue, place, text]),
    [
      ["a", "p1", "body 1"],
      ["b", "p2", "body 2"],
    ],
  );
  assert.deepEqual([found.next, found.gap, found.gaps], ["p2", false, []]);
  const asked = { queues: ["a", "b"], prefixes: ["room-"], start: "oldest", limit: 7, max_bytes: 100, fresh: true };
  assert.deepEqual(JSON.parse(server.asked[0].body), { ...asked, wait: 5 });
  assert.ok(server.asked[0].url.endsWith("/v2/app/reads"));
});

test("places", async () => {
  for (const [options, asked] of [
    [{}, { start: "newest" }],
    [{ after: "p1", start: "oldest" }, { after: "p1" }],
    [{ since: new Date(5) }, { since: "1970-01-01T00:00:00.005Z" }],
  ]) {
    const server = serverOf(page([], "p0"));
    await chosen(server, [], ["x", "y"]).read(options);
    assert.deepEqual(JSON.parse(server.asked[0].body), { prefixes: ["x", "y"], ...asked });
  }
});

test("it follows by one live read, and goes on at the place of all queues", async () => {
  const server = liveServerOf([
    [lines(begun(), opened("p0"), came("a", 1), { queue: { queue: "c", change: "made" }, next: "p1" }), broken()],
    [lines(begun("p1"), came("c", 2), caughtUp("p2"), { next: "p9" }), lines(came("a", 10)), broken()],
    [lines(begun("p10"), came("a", 11))],
  ]);
  const found = [];
  for await (const each of chosen(server, ["a"], "c").follow({ start: "oldest", limit: 9 })) {
    found.push([each.queue, each.place]);
    if (found.length === 4) break;
  }
  const wanted = [
    ["a", "p1"],
    ["c", "p2"],
    ["a", "p10"],
    ["a", "p11"],
  ];
  assert.deepEqual(found, wanted);
  const choice = { queues: ["a"], prefixes: ["c"] };
  assert.deepEqual(server.queries, [
    { ...choice, start: "oldest", limit: 9 },
    { ...choice, after: "p1", limit: 9 },
    { ...choice, after: "p10", limit: 9 },
  ]);
  assert.equal(server.leftOpen(), 0);
});

test("a place that was kept, and a time", async () => {
  const saved = [];
  const cursors = { load: () => "mine", save: (_, place) => void saved.push(place) };
  const server = liveServerOf([[lines(begun(), came("a", 1), came("b", 2), caughtUp("p5"))]]);
  const follow = chosen(server, ["a", "b"]).follow({ reader: "r", cursors, idle: 0 });
  assert.deepEqual(await texts(follow), ["body 1", "body 2"]);
  assert.deepEqual([server.queries, saved], [[{ queues: ["a", "b"], after: "mine" }], ["p5"]]);
  const since = liveServerOf([[lines(begun(), came("a", 1))]]);
  await texts(chosen(since, ["a"]).follow({ start: new Date(5) }), 1);
  assert.deepEqual(since.queries, [{ queues: ["a"], since: "1970-01-01T00:00:00.005Z" }]);
});

test("a gap is thrown after the messages of other queues, with the place from which nothing more is missed", async () => {
  const live = [[lines(begun("p0"), opened("p0"), came("a", 1), gap("p1"), came("a", 3), came("b", 5))]];
  const server = liveServerOf(
    live,
    page(
      [
        ["a", 3],
        ["b", 5],
      ],
      "p6",
      purged,
    ),
  );
  const saved = [];
  const cursors = { load: () => "p0", save: (_, place) => void saved.push(place) };
  const found = chosen(server, ["a", "b"]).follow({ reader: "r", cursors });
  const seen = [];
  for (let each = 0; each < 3; each++) seen.push((await found.next()).value.text);
  assert.deepEqual(seen, ["body 1", "body 3", "body 5"]);
  await assert.rejects(found.next(), (error) => error instanceof Gap && error.first === "p6" && error.queue === "b");
  assert.deepEqual(server.asked, [{ queues: ["a", "b"], after: "p1", wait: 20 }]);
  assert.deepEqual([saved.at(-1), server.leftOpen()], ["p6", 0]);
});

test("a gap is warned of, or passed over, in the live read", async (context) => {
  const warned = [];
  context.mock.method(console, "warn", (text) => warned.push(text));
  for (const onGap of ["warn", "ignore"]) {
    const pieces = [lines(begun(), came("a", 1), gap("p1"), gap("p1", { left_out: 3 }), came("a", 3))];
    assert.deepEqual(await texts(chosen(liveServerOf([pieces]), [], "").follow({ onGap }), 2), ["body 1", "body 3"]);
  }
  assert.deepEqual(
    warned.map((text) => text.split(":")[0]),
    ["queue b", "further queues"],
  );
});

test("before a server without live reads of many queues it waits for pages", async () => {
  const server = liveServerOf([problem(404, "not-found")], page([], "p0"), page([["a", 1]], "p1"));
  assert.deepEqual(await texts(chosen(server, ["a"]).follow(), 1), ["body 1"]);
  const wanted = { queues: ["a"], wait: 20 };
  assert.deepEqual(server.asked, [
    { ...wanted, start: "newest" },
    { ...wanted, after: "p0" },
  ]);
});

test("a server that knows no reads of many queues refuses them", async () => {
  const server = liveServerOf([problem(404, "not-found")], problem(404, "not-found"));
  await assert.rejects(texts(chosen(server, ["a"]).follow()), NotFound);
});

test("refusals, at first and meanwhile", async () => {
  for (const [answer, kind] of [
    [problem(400, "too-many-queues"), Invalid],
    [problem(404, "no-such-queue"), NotFound],
    [[lines(begun(), refusal("forbidden", 403))], NotAllowed],
  ]) {
    const server = liveServerOf([answer]);
    await assert.rejects(texts(chosen(server, ["a"]).follow()), kind);
    assert.deepEqual([server.asked, server.leftOpen()], [[], 0]);
  }
});

test("a message without a queue or a place is none", async () => {
  for (const line of [{ message: { id: "1", partition: 1 }, next: "p9" }, { message: message("a", 1) }]) {
    const pieces = [lines(begun(), came("a", 1)), lines(line)];
    const server = liveServerOf([pieces, [lines(begun("p1"), came("a", 2))]]);
    assert.deepEqual(await texts(chosen(server, ["a"]).follow(), 2), ["body 1", "body 2"]);
  }
});

test("it ends when all queues are closed", async () => {
  const server = liveServerOf([[lines(begun(), came("a", 1), caughtUp("p1"), { closed: true, next: "p1" })]]);
  assert.deepEqual(await texts(chosen(server, ["a"]).follow({ start: "oldest" })), ["body 1"]);
});

test("a choice has queues", () => {
  const client = new Client("http://127.0.0.1:1", "app", { key: "k" });
  assert.throws(() => client.follow(), TypeError);
  assert.throws(() => client.follow("orders"), TypeError);
  assert.throws(() => client.follow(["a"], { onGap: "shout" }), TypeError);
});

const given = (queue, ...ids) =>
  json(200, {
    messages: ids.map((id) => ({ id, partition: 0, receipt: `r${id}`, lease: 30, deliveries: 1, body: "text" })),
    ...(ids.length && { queue, group: "w" }),
  });
const GROUPS = [
  ["high", "w"],
  ["low", "w"],
];

test("a claim of several groups says which has served it, and is repeated under its key", async () => {
  const server = serverOf(broken(), given("low", "1"));
  const [delivery] = await claimMany(requestsOf(server), GROUPS, 3, { order: "fair", lease: 60 });
  assert.deepEqual([delivery.queue, delivery.group, delivery.receipt], ["low", "w", "r1"]);
  const from = GROUPS.map(([queue, group]) => ({ queue, group }));
  assert.deepEqual(JSON.parse(server.asked[1].body), { from, order: "fair", limit: 3, wait: 20, lease: 60 });
  assert.ok(server.asked[1].url.endsWith("/v2/app/claims"));
  assert.equal(new Set(server.keys()).size, 1);
  await assert.rejects(claimMany(requestsOf(server), [], 1, {}), TypeError);
});

test("a claim of several groups acks what is done, each message at its group", async () => {
  const outcomes = [
    { receipt: "r1", outcome: "acked" },
    { receipt: "r2", outcome: "stale" },
  ];
  const server = serverOf(given("low", "1", "2"), given("high", "3"), json(200, { messages: [], outcomes }));
  const requests = requestsOf(server);
  const low = await claimMany(requests, GROUPS, 2, {});
  const done = [...low, ...(await claimMany(requests, GROUPS, 2, {}))];
  await claimMany(requests, GROUPS, 2, { ack: done });
  const { from } = JSON.parse(server.asked[2].body);
  assert.deepEqual(
    from.map(({ queue, settle }) => [queue, settle.ack]),
    [
      ["high", ["r3"]],
      ["low", ["r1", "r2"]],
    ],
  );
  assert.deepEqual(
    done.map((each) => each.lost),
    [false, true, false],
  );
  await assert.rejects(claimMany(requests, GROUPS.slice(0, 1), 1, { ack: done }), TypeError);
});

test("claims of the same groups have a few keys in force, and none if a group takes none", async () => {
  const clock = new TestClock();
  const server = serverOf(given("low", "1"));
  const requests = requestsOf(server, clock);
  for (let each = 0; each < 40; each++) await claimMany(requests, GROUPS, 1, {});
  await claimMany(requests, GROUPS.slice(1), 1, {});
  assert.deepEqual([server.keys().filter(Boolean).length, Boolean(server.keys().at(-1))], [33, true]);
  const refused = problem(400, "bad-header", { errors: [{ parameter: "Idempotency-Key" }] });
  const without = serverOf(refused, given("low"));
  assert.deepEqual(await claimMany(requestsOf(without), GROUPS, 1, {}), []);
  assert.deepEqual(without.keys().map(Boolean), [true, false]);
});

test("a signed URL of many queues", async () => {
  const names = ["\u{1f600}", "\uffee", "b", "a", "a"];
  assert.equal(choiceLine(names, ["y", "", "xy", "x"]), "a,b,\uffee,\u{1f600},:,:x,:xy,:y");
  const requests = requestsOf(serverOf(page([], "p0")));
  const url = await signedUrlOfMany(requests, { queues: ["b", "a"], prefixes: ["ü"] }, 600, 5);
  const { pathname, searchParams } = new URL(url);
  assert.equal(pathname, "/v2/app/events");
  assert.deepEqual([searchParams.getAll("queue"), searchParams.getAll("prefix")], [["b", "a"], ["ü"]]);
  assert.deepEqual([searchParams.get("signed_for"), searchParams.get("signed_rate")], ["read", "5"]);
  const many = Array.from({ length: 101 }, (_, at) => `q${at}`);
  await assert.rejects(signedUrlOfMany(requests, { queues: many, prefixes: [] }, 600), TypeError);
});

test("the queues of a signed URL", async () => {
  const server = serverOf(page([], "p0"));
  const client = new Client("http://127.0.0.1:1/below", "app", { key: "k" });
  const url = await client.signedUrl(["a"], 600, { prefix: "b" });
  const choice = Client.choiceFromSignedUrl(url, { fetch: server.fetch });
  assert.deepEqual([choice.queues, choice.prefixes], [["a"], ["b"]]);
  await choice.read();
  const { pathname, searchParams } = new URL(server.asked[0].url);
  assert.equal(pathname, "/below/v2/app/reads");
  assert.equal(searchParams.get("signature"), new URL(url).searchParams.get("signature"));
  assert.deepEqual([searchParams.has("queue"), server.asked[0].headers.Authorization], [false, undefined]);
  for (const wrong of [url.replace("signature", "x"), url.replace("events", "reads"), url.replace("/v2/", "/v3/")])
    assert.throws(() => Client.choiceFromSignedUrl(wrong), TypeError);
  assert.throws(() => Client.fromSignedUrl(url), TypeError);
});
