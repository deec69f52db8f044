/** Live reads: one answer that brings messages as they come, and its resumption after each end. */

import { LINES } from "./encoding.js";
import { Invalid, NoAnswer, NotFound, Unavailable, noAnswer } from "./errors.js";
import { LineReader } from "./live-lines.js";
import { mayRepeat } from "./request-retry.js";

/** Seconds without a byte after which a connection is given up: a server gives a sign of life each 15 seconds. */
const SILENCE = 60;

/** Seconds before the next connection, and up to twice as many, if the server has not said how many. */
const PAUSE = 2;

/** Connections in a row that bring no line at all, after which pages are read: perhaps a proxy keeps the lines back. */
const MAX_BARREN = 2;

/** The codes of 404 with which a server that has live reads refuses one. */
const OWN = ["no-such-queue", "no-such-application"];

/** Pages have to go on: the server has no live reads, or something before it does not let them through. */
export class NoLiveReads extends Error {}

/**
 * Gives the messages of a live read as pages, and connects again whenever it ends.
 *
 * A place is passed when a whole line has come, so a break at any byte loses nothing and repeats nothing.
 */
export class LiveRead {
  #requests;
  #queue;
  #callOf;
  #signal;
  #handsGapsOver;
  #idle;
  #page = null;
  #closed = false;
  #wasCaughtUp = false;
  // How the next connection is made.
  #retry = null;
  #barren = 0;
  #failingSince = null;
  // The connection that is open.
  #incoming = null;
  #reader;
  #lines = [];
  #begun = false;
  #caughtUp = false;
  #ended = false;

  /**
   * @param queue whose messages it gives; `null` if each message names its queue.
   * @param callOf makes the request of a live read from a start.
   * @param start `after`, `since` or `end`: where to begin. The place after the last line is kept here.
   * @param handsGapsOver whether it ends with `NoLiveReads` before a gap, so that pages tell of it.
   */
  constructor(requests, queue, callOf, start, idle, { signal, handsGapsOver = false } = {}) {
    this.#requests = requests;
    this.#queue = queue;
    this.#callOf = callOf;
    this.#signal = signal;
    this.#handsGapsOver = handsGapsOver;
    this.#idle = idle;
    this.#reader = new LineReader(queue);
    this.start = start;
  }

  /** The next page, which may be empty; `null` at the end. The user is done with the one before. */
  async next() {
    if (this.#page?.messages.length) this.#idle.heard();
    for (;;) {
      this.#page = this.#nextPage();
      if (this.#page) return this.#page;
      if (this.#lines.length) await this.#failed(this.#lines[0].problem);
      else if (this.#closed || (this.#caughtUp && this.#idle.over)) return null;
      else if (this.#incoming === null) await this.#connect();
      else await this.#receive();
    }
  }

  /** Close the connection. */
  close() {
    this.#incoming?.close();
    this.#incoming = null;
    this.#reader = new LineReader(this.#queue);
    this.#lines = [];
    this.#caughtUp = this.#ended = false;
  }

  /** Begin a live read where the one before has ended. */
  async #connect() {
    const { headers, ...call } = this.#callOf(this.start);
    let answer;
    try {
      answer = await this.#requests.send(
        { ...call, headers: { ...headers, Accept: LINES }, streams: true },
        this.#signal,
      );
    } catch (error) {
      // An older server does not know the path, and a proxy may not let it through.
      const unknown = error instanceof NotFound || error instanceof Invalid;
      if (unknown && [404, 405].includes(error.status) && !OWN.includes(error.code)) throw new NoLiveReads();
      throw error;
    }
    this.#begun = false;
    this.#incoming = answer.incoming ?? null;
    if (!this.#incoming || !(answer.headers.get("content-type") ?? "").includes(LINES)) throw new NoLiveReads();
  }

  /** Wait for the next lines. If none come, connect again, unless the reader ends then. */
  async #receive() {
    // The first line comes at once.
    const silence = this.#begun ? SILENCE : this.#requests.timeout;
    const seconds = this.#caughtUp ? this.#idle.within(silence) : silence;
    let piece;
    let lines;
    try {
      piece = await this.#incoming.receive(seconds);
      lines = piece ? this.#reader.read(piece) : [];
    } catch (error) {
      if (error instanceof NoAnswer) await this.#broken(noAnswer(error));
      else if (error instanceof TypeError || error instanceof SyntaxError)
        await this.#broken(cut(`what came is not Queuey's: ${error.message}`));
      else throw error;
      return;
    }
    if (piece?.length) {
      this.#lines.push(...lines);
      if (!lines.length) this.#idle.heard(); // it is a part of a long message
    } else if (piece === null) {
      if (seconds < silence) this.#idle.expire();
      else await this.#broken(cut(`nothing came for ${seconds} seconds`));
    } else if (this.#ended) {
      this.close();
      await this.#pause();
    } else {
      await this.#broken(cut("the live read was cut"));
    }
  }

  /** The server has ended the live read, and has said why. Throws the error if another one would end so, too. */
  async #failed(error) {
    const { credentials } = this.#requests;
    const renewed = error.status === 401 && credentials.renewable;
    if (renewed) credentials.forget();
    await this.#broken(error, renewed);
  }

  /** Give the connection up, and wait before the next one. Throws if it has been failing for too long. */
  async #broken(error, renewed = false) {
    this.close();
    this.#barren = this.#begun ? 0 : this.#barren + 1;
    if (this.#barren >= MAX_BARREN) throw new NoLiveReads();
    const { retry, clock } = this.#requests;
    this.#failingSince ??= clock.now();
    error.applied = "no";
    if (!(renewed || mayRepeat(retry, error, true)) || clock.now() - this.#failingSince >= retry.deadline) throw error;
    await this.#pause();
  }

  async #pause() {
    const { clock } = this.#requests;
    await clock.sleep(this.#retry ?? PAUSE * (1 + clock.random()), this.#signal);
  }

  /** Make a page of the lines that have come. A gap is a page of its own, and a problem is left. */
  #nextPage() {
    const messages = [];
    let taken = false;
    let stableUntil = new Date(0);
    let count = 0;
    for (const line of this.#lines) {
      if (line.problem || (line.gap && taken)) break;
      count++;
      this.#note(line);
      if (line.gap && this.#handsGapsOver) throw new NoLiveReads();
      if (line.message) messages.push(line.message);
      if (line.gap) {
        this.#lines.splice(0, count);
        const page = { messages, next: this.start.after, more: true, stableUntil, gap: true, first: line.first };
        return { ...page, closed: false, of: line.of };
      }
      stableUntil = line.caughtUp ?? stableUntil;
      taken ||= line.next !== null;
    }
    this.#lines.splice(0, count);
    if (!taken) return null;
    const more = !this.#caughtUp;
    return { messages, next: this.start.after, more, stableUntil, gap: false, first: null, closed: this.#closed };
  }

  /** Keep what a line says of the live read itself. */
  #note(line) {
    if (line.next !== null) this.start = { after: line.next };
    if (line.retry !== null) {
      this.#retry = line.retry;
      // The first line has a place too.
      this.#ended = line.next === null;
    }
    if (line.caughtUp) {
      this.#caughtUp = true;
      if (!this.#wasCaughtUp) this.#idle.heard();
      this.#wasCaughtUp = true;
    }
    this.#closed ||= line.closed;
    if (this.#begun) this.#failingSince = null;
    this.#begun = true;
  }
}

function cut(detail) {
  return new Unavailable(detail, { retryable: true });
}
