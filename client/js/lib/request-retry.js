/** When a request is sent again: pure rules, without a clock of their own. */

/** Repeats that a client may make at once, however few requests it has sent. */
const RESERVE = 10;

/** Repeats that the budget gains each second, so that a client with a single request survives an outage. */
const PER_SECOND = 1;

/**
 * When to try again. `Retry.never` is for callers who do that themselves.
 *
 * A pause is random, between 0 and `least` doubled for each attempt, up to `most`; `Retry-After` is the least if the
 * server sends it. All are seconds. There is no number of attempts: a `deadline` is what a caller can reason about.
 */
export class Retry {
  constructor({ deadline = 60, least = 0.1, most = 10, budget = 0.2, on = null } = {}) {
    Object.assign(this, { deadline, least, most, budget, on });
  }
}

Retry.never = new Retry({ deadline: 0 });

/**
 * Tell whether a request that failed so may be sent again.
 *
 * @param safe whether sending it again can do no harm, because of its method or its key.
 */
export function mayRepeat(retry, error, safe) {
  if (!error.retryable || retry.deadline <= 0) return false;
  if (error.applied !== "no" && !safe) return false;
  return retry.on === null || Boolean(retry.on(error));
}

/** The seconds before the next attempt; `random` is from 0 to 1. */
export function pauseBefore(retry, attempts, retryAfter, random) {
  const longest = Math.min(retry.most, retry.least * 2 ** Math.min(attempts - 1, 60));
  // Clients that were all told the same time do not come back at the same moment.
  return retryAfter === null ? random * longest : retryAfter + random * longest * 0.1;
}

/** How many repeats a client may make: a token bucket that requests and time fill. */
export class Budget {
  #tokens = RESERVE;
  #at = null;
  #part;

  constructor(part) {
    this.#part = part;
  }

  /** Count a request that is no repeat. */
  request(now) {
    this.#fill(now);
    this.#tokens = Math.min(this.#tokens + this.#part, RESERVE);
  }

  /** Take room for a repeat, and return the seconds until there is room for it; 0 if there is now. */
  take(now) {
    this.#fill(now);
    this.#tokens -= 1;
    return Math.max(0, -this.#tokens / PER_SECOND);
  }

  /** Give room back that is not used. */
  giveBack() {
    this.#tokens = Math.min(this.#tokens + 1, RESERVE);
  }

  #fill(now) {
    if (this.#at !== null && now > this.#at) {
      this.#tokens = Math.min(this.#tokens + (now - this.#at) * PER_SECOND, RESERVE);
    }
    this.#at = now;
  }
}
