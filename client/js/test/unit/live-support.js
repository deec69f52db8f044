// Live reads of a server that is a list of connections.
import assert from "node:assert/strict";

const STABLE = { stable_until: "2025-11-26T12:14:43.2112434Z" };
export const encode = (text) => new TextEncoder().encode(text);
export const lines = (...documents) => encode(documents.map((each) => `${JSON.stringify(each)}\n`).join(""));
export const begun = (next = "p0", retry = 2500) => ({ retry, next });
export const came = (number, body = `body ${number}`) => ({
  message: { id: `id-${number}`, partition: 1, timestamp: "2026-12-01T00:00:00Z", body },
  next: `p${number}`,
});
export const caughtUp = (next) => ({ caught_up: STABLE, next });
export const gap = (first, next) => ({ gap: { queue: "orders", resume: "truncated", first, why: "purged" }, next });
export const refusal = (code, status, members = {}) => ({
  problem: { code, status, detail: code, applied: "no", ...members },
});

/** An answer that is these pieces: bytes, an error for a break, and "silence" for an answer that stands still. */
function streamed(pieces, signal, type = "application/x-ndjson") {
  const left = [...pieces];
  const state = { open: true };
  const body = new ReadableStream(
    {
      start(controller) {
        signal.addEventListener("abort", () => {
          state.open = false;
          controller.error(signal.reason);
        });
      },
      pull(controller) {
        const piece = left.shift();
        if (piece === "silence") return new Promise(() => {});
        if (piece === undefined) controller.close();
        else if (piece instanceof Error) controller.error(piece);
        else controller.enqueue(piece);
      },
    },
    { highWaterMark: 0 },
  );
  return { state, answer: new Response(body, { headers: { "Content-Type": type } }) };
}

/** What a body says. */
const told = (body) => JSON.parse(new TextDecoder().decode(body));

/**
 * A server whose live reads are these connections, by a function of the query or one after another; the others of its
 * answers are `replies`. `queries` and `asked` have what it was sent: the query of a GET, or the body of a POST.
 */
export function liveServerOf(connections, ...replies) {
  const [queries, asked, opened] = [[], [], []];
  const fetch = async (text, { method, headers, body, signal }) => {
    const url = new URL(text);
    if (!url.pathname.endsWith("/events")) {
      asked.push(method === "GET" ? url.search : told(body));
      return replies.shift();
    }
    assert.equal(headers.Accept, "application/x-ndjson");
    queries.push(method === "GET" ? url.search : told(body));
    const next = typeof connections === "function" ? connections(url.searchParams) : connections.shift();
    if (next instanceof Error) throw next;
    if (next instanceof Response) return next;
    const { state, answer } = streamed(next, signal);
    opened.push(state);
    return answer;
  };
  return { queries, asked, fetch, opened, leftOpen: () => opened.filter(({ open }) => open).length };
}

export async function texts(messages, count = Infinity) {
  const found = [];
  for await (const message of messages) {
    found.push(message.text);
    if (found.length === count) break;
  }
  return found;
}
