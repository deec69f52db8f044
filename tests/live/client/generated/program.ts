// Uses the types that openapi-typescript generated: posts, reads, claims and settles, and prints what came of it.
//
// node program.js URL KEY

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[]; exitCode: number };

const [, , baseUrl, key] = process.argv;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Application ${key}` } });
const path = { application: "queuey", queue: "typescript" };

function got<T>(answer: { data?: T; error?: components["schemas"]["Problem"]; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response.status} ${answer.error?.code}: ${answer.error?.detail}`);
  return answer.data;
}

const made = got(await client.PUT("/v2/{application}/queues/{queue}", { params: { path }, body: { partitions: 1 } }));
console.log("queue", made.name, made.partitions);

const messages = "/v2/{application}/queues/{queue}/messages" as const;
const asIs = (body: unknown) => body as BodyInit;
const bytes = new Uint8Array([0, 255]) as unknown as string;
for (const [type, body] of [["application/octet-stream", bytes], ["text/plain", "two apples"]] as const) {
  const headers = { "Content-Type": type };
  const stored = got(await client.POST(messages, { params: { path }, body, headers, bodySerializer: asIs }));
  console.log(type, "messages" in stored && stored.messages.length);
}
const stored = got(await client.POST(messages, { params: { path, query: { ttl: 600 } }, body: { pears: 3 } }));
console.log("json", "messages" in stored && stored.messages.length);
const batch = got(
  await client.POST(messages, {
    params: { path },
    body: { messages: [{ body: "[1]", content_type: "application/json" }, { body_base64: "AAEC" }] },
    headers: { "Content-Type": "application/vnd.queuey.messages+json" },
  }),
);
console.log("batch", "messages" in batch && batch.messages.length);

const page = got(await client.GET(messages, { params: { path, query: { json: true, limit: 10 } } }));
if (!("next" in page)) throw new Error("no page");
for (const message of page.messages) {
  console.log("read", message.content_type, JSON.stringify(message.json ?? message.body ?? message.body_base64));
}
const rest = got(await client.GET(messages, { params: { path, query: { after: page.next, since: undefined } } }));
console.log("more", page.more, "messages" in rest && rest.messages.length);

const place = { ...path, group: "workers" };
const group = "/v2/{application}/queues/{queue}/groups/{group}" as const;
console.log("group", got(await client.PUT(group, { params: { path: place }, body: { lease: 60 } })).lease);
const claimed = got(await client.POST(`${group}/claims`, { params: { path: place }, body: { limit: 10 } }));
const ack = claimed.messages.flatMap((message) => message.receipt ?? []);
const settled = got(await client.POST(`${group}/settlements`, { params: { path: place }, body: { ack } }));
console.log("settled", settled.outcomes.map((one) => one.outcome).join(" "));

const missing = await client.GET("/v2/{application}/queues/{queue}", { params: { path: { ...path, queue: "missing" } } });
const code: components["schemas"]["Problem"]["code"] | undefined = missing.error?.code;
console.log("problem", code, missing.response.status);
