/** One attempt at a request, by `fetch`. */

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
 * @throws NoAnswer if there is none, or not all of it.
 */
export async function attempt(fetch, { method, url, headers, body, timeout, signal }) {
  signal?.throwIfAborted();
  const own = new AbortController();
  const abort = () => own.abort();
  signal?.addEventListener("abort", abort, { once: true });
  let late = false;
  let timer;
  const restart = () => {
    clearTimeout(timer);
    timer = setTimer(() => {
      late = true;
      own.abort();
    }, timeout);
  };
  restart();
  try {
    const options = { method, headers, body, signal: own.signal, redirect: "manual", credentials: "omit" };
    const answer = await fetch(url, options);
    return { status: answer.status, headers: answer.headers, body: await whole(answer, restart) };
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof NoAnswer) throw error;
    if (late) throw new NoAnswer(`no answer within ${timeout} s`);
    throw lostBy(error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

async function whole(answer, restart) {
  const pieces = [];
  let size = 0;
  if (answer.body) {
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      restart();
      size += value.length;
      if (size > MAX_ANSWER) {
        await reader.cancel();
        throw new NoAnswer(`the answer has more than ${MAX_ANSWER} bytes`, true, true);
      }
      pieces.push(value);
    }
  }
  const found = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    found.set(piece, at);
    at += piece.length;
  }
  return found;
}

/** Make one error of those of browsers and Node.js. Browsers do not tell whether anything was sent, so it may have been. */
function lostBy(error) {
  const cause = error?.cause;
  const code = String(cause?.code ?? cause?.errors?.[0]?.code ?? "");
  const detail = [error?.message, cause?.message ?? code].filter(Boolean).join(": ") || String(error);
  return new NoAnswer(detail, !NOT_SENT.has(code), UNTRUSTED.test(code));
}
