/** The lines of a live read: objects of JSON. */

import { messageOf, messageOfMany, timeOf } from "./answers.js";
import { joined } from "./bytes.js";
import { errorOfProblem } from "./errors.js";

/** Bytes that a line may have; a server's longest message has far fewer. */
const MAX_LINE = 256 << 20;

/** Seconds that a server can ask to wait before the next connection. */
const LONGEST_PAUSE = 60;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Cuts the bytes of an answer into lines, and reads them. What has no end yet is kept until the rest comes. */
export class LineReader {
  #queue;
  #begun = [];
  #size = 0;

  /** @param queue whose messages they bring; `null` if each message names its queue. */
  constructor(queue) {
    this.#queue = queue;
  }

  /**
   * Return the lines that end in a piece.
   *
   * @throws TypeError or SyntaxError: one is no line of a live read, or has too many bytes.
   */
  read(piece) {
    const found = [];
    let from = 0;
    for (let end; (end = piece.indexOf(10, from)) >= 0; from = end + 1) {
      this.#keep(piece.subarray(from, end));
      found.push(lineOf(this.#queue, JSON.parse(utf8.decode(joined(this.#begun, this.#size)))));
      this.#begun = [];
      this.#size = 0;
    }
    this.#keep(piece.subarray(from));
    return found;
  }

  #keep(bytes) {
    this.#begun.push(bytes);
    this.#size += bytes.length;
    if (this.#size > MAX_LINE) throw new TypeError(`a line has more than ${MAX_LINE} bytes`);
  }
}

/**
 * What a line says. `next` is the place after it, `null` if it says nothing of places. `gap` tells that messages of the
 * queue `of` are gone (`null`: of several), and `first` is the place just before the first message that is left;
 * `caughtUp` is the time up to which everything was sent, `problem` the error with which the live read ends, and `retry`
 * the seconds after which to come back.
 */
function lineOf(queue, found) {
  const line = { next: found.next ?? null, message: null, gap: false, of: null, first: null, caughtUp: null };
  Object.assign(line, { closed: found.closed === true, problem: null, retry: null });
  if (found.message !== undefined) {
    line.message = queue === null ? messageOfMany(found.message, line.next) : messageOf(queue, found.message);
  } else if (found.gap !== undefined) {
    Object.assign(line, { gap: true, of: found.gap.queue ?? null, first: found.gap.first ?? null });
  }
  if (found.caught_up !== undefined) line.caughtUp = timeOf(found.caught_up.stable_until);
  else if (found.problem !== undefined) line.problem = errorOfProblem(found.problem);
  else if (found.retry !== undefined) line.retry = Math.min(Math.max(Number(found.retry) / 1000, 0), LONGEST_PAUSE);
  if (Number.isNaN(line.retry)) throw new TypeError("retry is no number");
  if ((line.message || line.gap || line.caughtUp) && line.next === null) throw new TypeError("next is missing");
  return line;
}
