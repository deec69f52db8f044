// What a user's program in TypeScript may say; `tsc` compiles it, and nothing runs it. The lines after
// "@ts-expect-error" must not compile.
import {
  Client,
  Draft,
  Gap,
  QueueyError,
  Reject,
  Retry,
  RetryLater,
  StorageCursors,
  Unavailable,
  Verdict,
} from "queuey-client";
import type { Cursors, Delivery, Message, Stored } from "queuey-client";
import { FileCursors } from "queuey-client/file-cursors";

const retry = new Retry({ deadline: 10, on: (error) => error.code !== "rate-limited" });
const client = new Client(["http://127.0.0.1:5000"], "queuey", { key: async () => "a key", retry, timeout: 5 });
const orders = client.queue("orders");

export async function produce(signal: AbortSignal): Promise<string[]> {
  await orders.ensure({ partitions: 4, guarantee: "exactly-once" }, { signal });
  const stored: Stored = await orders.post({ pears: 3 }, { idempotencyKey: "order-4711", ttl: 60, signal });
  await orders.post(new Draft(new Uint8Array([1, 2]), { contentType: "image/x-tiny" }), { idempotencyKey: "" });
  // @ts-expect-error There is no such option.
  await orders.post("text", { idempotency_key: "x" });
  const { ids } = await orders.postAll(["a", { b: 1 }, new Draft("c", { key: "d" })]);
  return [stored.id, ...ids];
}

export async function push(): Promise<string> {
  const billing = orders.push("billing");
  const { secret } = await billing.ensure({ url: "https://hooks.example.com/orders", maxDeliveries: 5 });
  const { error } = await billing.test();
  // @ts-expect-error A state is one of four.
  const wrong = (await billing.info()).state === "open";
  return secret ?? error ?? String(wrong);
}

export async function schedule(): Promise<Date | null> {
  const nightly = orders.schedule("nightly");
  await nightly.ensure({ cron: "30 2 * * *", message: new Draft("sales") });
  const [info] = await orders.schedules();
  // @ts-expect-error A state is one of three.
  const wrong = info?.state === "blocked";
  return wrong ? null : (await nightly.pause()).next;
}

export async function read(storage: Storage): Promise<number> {
  const cursors: Cursors[] = [new StorageCursors(storage), new FileCursors("places")];
  const own: Cursors = { load: async () => null, save: (_reader, place) => console.log(place.length) };
  let seen = 0;
  for await (const message of orders.follow({ start: new Date(0), idle: 1, reader: "r", cursors: cursors[0] ?? own })) {
    const found: { pears: number } = message.json();
    seen += found.pears + message.text.length + message.timestamp.getTime();
    // @ts-expect-error A message cannot be changed.
    message.id = "x";
  }
  const page = await orders.read({ after: null, order: "desc", limit: 1, partitions: [0] });
  const first: Message | undefined = page.messages[0];
  // @ts-expect-error There are two orders.
  orders.messages({ order: "ascending" });
  return first ? seen + first.body.length : seen;
}

export async function many(): Promise<number> {
  let seen = 0;
  for await (const { queue, place } of client.follow(["orders"], { prefix: ["room-"], start: "oldest", idle: 0 }))
    seen += queue.length + place.length;
  const { next, gaps = [] } = await client.readMany([], { prefix: "room-", since: new Date(0), wait: 5 });
  const deliveries = await client.claimMany(
    [
      ["urgent", "workers"],
      ["orders", "workers"],
    ],
    5,
    { order: "fair" },
  );
  for (const each of deliveries) await client.queue(each.queue).group(each.group).ack(each);
  const choice = Client.choiceFromSignedUrl(await client.signedUrl(["orders"], 600, { prefix: "room-", rate: 5 }));
  // @ts-expect-error There are two orders.
  await client.claimMany([["urgent", "workers"]], 5, { order: "random" });
  await client.claimMany([["urgent", "workers"]], 5, { ack: deliveries });
  // @ts-expect-error Many queues have no partitions to choose.
  client.follow(["orders"], { partitions: [1] });
  return seen + next.length + gaps.length + (await choice.read({ start: "oldest" })).messages.length;
}

export async function work(): Promise<void> {
  const group = orders.group("billing");
  await group.ensure({ maxDeliveries: 5, deadLetter: "failed" });
  const [delivery] = await group.claim(1, { lease: 30, wait: 0 });
  if (delivery) {
    await group.extend(delivery);
    await group.retry([delivery, delivery.receipt ?? ""], { delay: 1 });
  }
  const handle = async (each: Delivery, { signal }: { signal: AbortSignal }) => {
    if (each.deliveries > 3) throw new Reject("too often");
    if (signal.aborted || each.lost) throw new RetryLater(60);
  };
  const worker = group.worker(handle, {
    concurrency: 4,
    also: [client.queue("others").group("billing")],
    retry: (_, error) => (error instanceof TypeError ? Verdict.giveUp("wrong") : Verdict.again(60)),
    onEvent: (event, { delivery }) => event === "lost" && console.warn(delivery.id),
  });
  process.exitCode = await worker.run({ grace: 10 });
  // @ts-expect-error Groups make workers.
  new Worker(handle);
}

export async function page(url: string): Promise<void> {
  const readable = Client.fromSignedUrl(url);
  console.log((await readable.read()).next, await orders.signedUrl(["read", "claim"], 600, { rate: 10 }));
  // @ts-expect-error There is no such operation.
  await orders.signedUrl(["post"], 600);
}

export function decide(error: unknown): string {
  if (error instanceof Gap) return error.first;
  if (error instanceof Unavailable && error.applied === "unknown") return "again, with the same key";
  return error instanceof QueueyError ? `${error.code} ${error.status} ${error.attempts}` : "a mistake";
}
