/** Readers: pages one after another, places that are kept, gaps, and waits for what comes. */

import { Bookmark } from "./cursors.js";
import { Gap } from "./errors.js";

/** Seconds of one wait of a reader that follows: the longest that the server allows. */
const WAIT = 20;

/** Seconds before a reader asks again if the server has not waited. */
const SETTLED = 0.2;

function checkGap(page, name, onGap) {
  if (!page.gap || onGap === "ignore") return;
  const text = `queue ${name}: messages that this reader had not come to were purged, or may have expired`;
  if (onGap === "warn") {
    console.warn(text);
    return;
  }
  throw new Gap(text, { code: "gap", first: page.first ?? page.next, queue: name });
}

/** Check what an iterator was asked for, before it is used. */
export function checkReader({ onGap = "raise", order = "asc", reader, cursors }) {
  if (!["raise", "warn", "ignore"].includes(onGap)) throw new TypeError(`onGap is raise, warn or ignore, not ${onGap}`);
  if ((cursors === undefined) !== (reader === undefined)) {
    throw new TypeError("a reader keeps its place with both: reader and cursors");
  }
  if (reader !== undefined && order !== "asc") {
    throw new TypeError("a reader that keeps its place reads from the oldest to the newest");
  }
}

/** Give the messages of pages; the place is saved when a page is done, or the iterator is closed. */
async function* giving(pages, name, bookmark, onGap) {
  for await (const page of pages) {
    checkGap(page, name, onGap);
    try {
      for (const message of page.messages) {
        yield message;
        await bookmark.done(message.place);
      }
      // Of an empty page too: a place that is older than the time to live of the queue may have a gap after it.
      await bookmark.done(page.next);
    } finally {
      await bookmark.save();
    }
  }
}

/** Give all messages that are there now. */
export async function* reading(queue, options, now) {
  const { reader, cursors, onGap = "raise", ...read } = options;
  const bookmark = new Bookmark({ reader, cursors }, now);
  const place = await bookmark.load();
  yield* giving(pagesNow(queue, place === null ? read : { ...read, after: place }), queue.name, bookmark, onGap);
}

async function* pagesNow(queue, read) {
  for (let after = read.after; ; ) {
    const page = await queue.read({ ...read, after });
    yield page;
    if (!page.more) return;
    after = page.next;
  }
}

/** Give messages from a start on, and then those that come, until nothing has come for `idle` seconds. */
export async function* following(queue, options, clock) {
  const { start = "newest", reader, cursors, onGap = "raise", idle, ...read } = options;
  const bookmark = new Bookmark({ reader, cursors }, clock.now);
  const place = (await bookmark.load()) ?? (await placeOf(queue, start, read));
  const from = place instanceof Date ? { since: place } : { after: place ?? undefined };
  yield* giving(arriving(queue, { ...read, ...from }, idle, clock), queue.name, bookmark, onGap);
}

/**
 * Give pages as messages arrive, from a place on.
 *
 * This is the only place that knows how a reader hears of new messages. Today that is a read that waits; a server whose
 * `features` list live reads is asked for a stream here, and nothing else changes.
 */
function arriving(queue, read, idle, clock) {
  return byWaits(queue, read, idle, clock);
}

async function* byWaits(queue, read, idle, { now, sleep }) {
  let from = { after: read.after, since: read.since };
  for (let heard = now(); ; ) {
    const wait = idle === undefined ? WAIT : Math.max(0, Math.min(WAIT, idle - (now() - heard)));
    const asked = now();
    const page = await queue.read({ ...read, ...from, wait });
    from = { after: page.next, since: undefined };
    if (page.messages.length) heard = now();
    yield page;
    if (page.messages.length) {
      // The time that the caller took for the messages is no time in which none came.
      heard = now();
    } else if (idle !== undefined && now() - heard >= idle) {
      return;
    } else if (wait && now() - asked < SETTLED && !page.more) {
      // A server that does not wait, or waits less than it was asked to, is not asked without a pause.
      await sleep(SETTLED, read.signal);
    }
  }
}

/** Where a follower without a place begins: a Date, a cursor, or `null` for the oldest message. */
async function placeOf(queue, start, read) {
  if (start === "oldest") return null;
  if (start !== "newest") return start;
  const page = await queue.read({ ...read, order: "desc", limit: 1 });
  return page.messages.length ? page.messages[0].place : null;
}
