/** One attempt at a request, by `fetch`. */

import { joined } from "./bytes.js";
import { setTimer } from "./clock.js";
import { NoAnswer } from "./errors.js";

/** Bytes of an answer that are taken; pages are far smaller. */
const MAX_ANSWER = 256 << 20;

/** What the causes of Node.js are called if no connection was made. */
const NOT_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/;

/**
 * Send a request and read its answer.
 *
 * @param timeout seconds that may pass until the answer begins, and between two pieces of it.
 * @param signal the caller's: its reason is thrown as it is.
 * @param streams whether the body of an answer of status 200 is left to be received: the answer has `incoming` then.
 * @throws NoAnswer if there is none, or not all of it.
 */
export async function attempt(fetch, { method, url, headers, body, timeout, signal, streams = false }) {
  const connection = new Connection(signal);
  const request = { method, headers, body, redirect: "manual", credentials: "omit" };
  let opened = false;
  try {
    const answer = await connection.within(timeout, (signal) => fetch(url, { ...request, signal }));
    const { status, headers } = answer;
    const incoming = new Incoming(connection, answer.body);
    opened = streams && status === 200;
    return opened ? { status, headers, incoming } : { status, headers, body: await incoming.whole(timeout) };
  } finally {
    if (!opened) connection.end();
  }
}

/** Ends a request: if the caller wishes, or if something takes too long. */
class Connection {
  #signal;
  #own = new AbortController();
  #abort = () => this.#own.abort();

  constructor(signal) {
    signal?.throwIfAborted();
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** Do one step of the request; if it takes longer than this number of seconds, the request ends. */
  async within(seconds, action) {
    let late = false;
    const timer = setTimer(() => {
      late = true;
      this.#own.abort();
    }, seconds);
    try {
      return await action(this.#own.signal);
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (error instanceof NoAnswer) throw error;
      if (late) throw new Late(`no answer within ${seconds} s`);
      throw lostBy(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Nothing more is wanted of it. */
  end() {
    this.#signal?.removeEventListener("abort", this.#abort);
  }

  /** End the request, whatever it does. */
  close() {
    this.end();
    this.#own.abort();
  }
}

/** Nothing came in time. */
class Late extends NoAnswer {}

/** The body of an answer. */
class Incoming {
  #connection;
  #reader;

  constructor(connection, body) {
    this.#connection = connection;
    this.#reader = body?.getReader();
  }

  /** The next piece; an empty one at the end, and `null` if nothing comes for so long: then it can only be closed. */
  async receive(seconds) {
    try {
      return (await this.#next(seconds)) ?? new Uint8Array(0);
    } catch (error) {
      if (error instanceof Late) return null;
      throw error;
    }
  }

  /** All of it. */
  async whole(seconds) {
    const pieces = [];
    let size = 0;
    for (let piece; (piece = await this.#next(seconds)); pieces.push(piece)) {
      size += piece.length;
      if (size > MAX_ANSWER) {
        this.close();
        throw new NoAnswer(`the answer has more than ${MAX_ANSWER} bytes`, true, true);
      }
    }
    return joined(pieces, size);
  }

  /** End the connection. It may be called again. */
  close() {
    this.#connection.close();
  }

  async #next(seconds) {
    if (!this.#reader) return null;
    const { done, value } = await this.#connection.within(seconds, () => this.#reader.read());
    return done ? null : value;
  }
}

/** Make one error of those of browsers and Node.js. Browsers do not tell whether anything was sent, so it may have been. */
function lostBy(error) {
  const cause = error?.cause;
  const code = String(cause?.code ?? cause?.errors?.[0]?.code ?? "");
  const detail = [error?.message, cause?.message ?? code].filter(Boolean).join(": ") || String(error);
  return new NoAnswer(detail, !NOT_SENT.has(code), UNTRUSTED.test(code));
}
