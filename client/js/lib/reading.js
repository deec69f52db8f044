/** Readers: pages one after another, places that are kept, gaps, and waits for what comes. */

import { Bookmark } from "./cursors.js";
import { Gap } from "./errors.js";
import { NoLiveReads } from "./live-read.js";

/** Seconds of one wait of a reader that follows: the longest that the server allows. */
const WAIT = 20;

/** Seconds before a reader asks again if the server has not waited. */
const SETTLED = 0.2;

function checkGap(page, name, onGap) {
  if (!page.gap || onGap === "ignore") return;
  const queue = name ?? page.of ?? page.gaps?.[0] ?? null;
  const whose = queue === null ? "further queues" : `queue ${queue}`;
  const text = `${whose}: messages that this reader had not come to were purged, or may have expired`;
  if (onGap === "warn") {
    console.warn(text);
    return;
  }
  throw new Gap(text, { code: "gap", first: page.first ?? page.next, queue });
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
    // The place after a page of many queues is the one from which nothing more is missed.
    if (!page.gaps) checkGap(page, name, onGap);
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
    if (page.gaps) checkGap(page, name, onGap);
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

/**
 * Give messages from a start on, and then those that come: by a live read, or else by pages that wait.
 *
 * @param source what is read: its `name`, `null` for many queues; `liveRead(read, start, idle, onGap)` begins a live
 *   read, and `page(read, start, wait)` reads a page.
 */
export async function* following(source, options, clock) {
  const { start = "newest", reader, cursors, onGap = "raise", idle, ...read } = options;
  const bookmark = new Bookmark({ reader, cursors }, clock.now);
  const from = startOf((await bookmark.load()) ?? start);
  const measured = new Idle(idle, clock.now);
  const waits = (begin) =>
    new Waits((start, wait) => source.page(read, start, wait), begin, measured, clock, read.signal);
  yield* giving(arriving(source.liveRead(read, from, measured, onGap), waits), source.name, bookmark, onGap);
}

/** Measures how long no message has come; `seconds` is after how many the reader ends, `undefined` is never. */
class Idle {
  #seconds;
  #now;
  #heard;

  constructor(seconds, now) {
    this.#seconds = seconds;
    this.#now = now;
    this.#heard = now();
  }

  /** Begin to measure again. */
  heard() {
    this.#heard = this.#now();
  }

  /** Return how long to wait: this number of seconds, or less if the reader ends before. */
  within(seconds) {
    if (this.#seconds === undefined) return seconds;
    return Math.max(0, Math.min(seconds, this.#seconds - (this.#now() - this.#heard)));
  }

  /** Nothing has come for the rest of the time; a timer may be a bit early. */
  expire() {
    this.#heard = -Infinity;
  }

  /** Whether no message has come for too long. */
  get over() {
    return this.#seconds !== undefined && this.#now() - this.#heard >= this.#seconds;
  }
}

/** Where a reader begins: `after` a place, `since` a Date, or at one `end` of the queue. */
function startOf(start) {
  if (start instanceof Date) return { since: start };
  return start === "oldest" || start === "newest" ? { end: start } : { after: start };
}

/** Give pages as messages arrive. This is the only place that knows how a reader hears of new messages. */
async function* arriving(liveRead, waits) {
  let source = liveRead;
  try {
    for (;;) {
      let page;
      try {
        page = await source.next();
      } catch (error) {
        if (!(error instanceof NoLiveReads)) throw error;
        source.close();
        source = waits(source.start);
        continue;
      }
      if (page === null) return;
      yield page;
    }
  } finally {
    source.close();
  }
}

/** Reads pages that wait for messages: for servers without live reads. */
class Waits {
  #read;
  #start;
  #idle;
  #clock;
  #signal;
  #page = null;
  #atOnce = false;

  /** @param read reads the page after a start; if it is empty, waits for this number of seconds. */
  constructor(read, start, idle, clock, signal) {
    this.#read = read;
    this.#start = start;
    this.#idle = idle;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** The next page, which may be empty; `null` at the end. The user is done with the one before. */
  async next() {
    const { now, sleep } = this.#clock;
    if (this.#page !== null) {
      if (this.#page.closed) return null;
      if (this.#page.messages.length) this.#idle.heard();
      else if (this.#idle.over) return null;
      // A server that does not wait, or waits less than it was asked to, is not asked without a pause.
      else if (this.#atOnce) await sleep(SETTLED, this.#signal);
    }
    const wait = this.#idle.within(WAIT);
    const asked = now();
    const page = await this.#read(this.#start, wait);
    this.#atOnce = wait > 0 && now() - asked < SETTLED && !page.more;
    this.#start = { after: page.next };
    this.#page = page;
    return page;
  }

  /** A page is read whole, so nothing is open. */
  close() {}
}
