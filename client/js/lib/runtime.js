/** Clock, chance and timers; tests bring their own. */

export const RUNTIME = {
  /** Seconds that never go back. */
  now: () => performance.now() / 1000,
  /** Seconds since 1970. */
  time: () => Date.now() / 1000,
  random: Math.random,
  /** Wait for so many seconds; reject with the reason of `signal` if that is aborted. */
  sleep(seconds, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const aborted = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", aborted);
        resolve();
      }, seconds * 1000);
      signal?.addEventListener("abort", aborted, { once: true });
    });
  },
};

/** Lets several wait for a change, with a limit of time. */
export class Wake {
  #waiting = new Set();
  #runtime;

  constructor(runtime) {
    this.#runtime = runtime;
  }

  /** Wake all that wait. */
  notify() {
    for (const done of [...this.#waiting]) done();
  }

  /** Wait for the next change, but not longer than so many seconds. */
  wait(seconds = null) {
    return new Promise((resolve) => {
      const timer = new AbortController();
      const done = () => {
        this.#waiting.delete(done);
        timer.abort();
        resolve();
      };
      this.#waiting.add(done);
      if (seconds !== null) this.#runtime.sleep(Math.max(0, seconds), timer.signal).then(done, () => {});
    });
  }
}
