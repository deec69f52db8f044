/** Time, chance and waiting. Tests bring a clock of their own. */

/** Milliseconds of the longest timer that browsers and Node.js have; a longer one would end at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** As `setTimeout`, in seconds of any number. */
export function setTimer(done, seconds) {
  return setTimeout(done, Math.min(seconds * 1000, LONGEST_TIMER));
}

export const CLOCK = {
  /** Seconds that never go back. */
  now: () => performance.now() / 1000,
  /** Seconds since 1970. */
  unixTime: () => Date.now() / 1000,
  /** A number from 0 to 1. */
  random: Math.random,
  /** Wait for this number of seconds; reject with the reason of `signal` if that is aborted. */
  sleep(seconds, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const aborted = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimer(() => {
        signal?.removeEventListener("abort", aborted);
        resolve();
      }, seconds);
      signal?.addEventListener("abort", aborted, { once: true });
    });
  },
};

/** Lets several functions wait for a change, as a condition variable does for threads. */
export class Condition {
  #waiting = new Set();
  #clock;

  constructor(clock) {
    this.#clock = clock;
  }

  /** Wake all that wait. */
  notify() {
    for (const wake of [...this.#waiting]) wake();
  }

  /** Wait for the next change, but not longer than this number of seconds; `null` means no limit. */
  wait(seconds = null) {
    return new Promise((resolve) => {
      const timer = new AbortController();
      const wake = () => {
        this.#waiting.delete(wake);
        timer.abort();
        resolve();
      };
      this.#waiting.add(wake);
      if (seconds !== null) this.#clock.sleep(Math.max(0, seconds), timer.signal).then(wake, () => {});
    });
  }
}
