/** A worker: claims messages, works on them, keeps their leases alive, and settles them. */

import { QueueyError, Stale, Unavailable } from "./errors.js";
import { LeaseBook } from "./leases.js";
import { Wake } from "./runtime.js";
import { ACK, Reject, RetryLater, Verdict, defaultVerdict } from "./verdicts.js";

/** Seconds of one claim's wait. */
const WAIT = 20;

/** Seconds of the longest pause after claims that failed. */
const LONGEST_PAUSE = 30;

/** Seconds for the last settlements, after the time to finish work is over. */
const SETTLING = 5;

/** The most messages that a worker has. */
const MAX_HELD = 1000;

/** Works on the messages of groups until it is stopped. It runs once. */
export class Worker {
  #runtime;
  #groups;
  #handle;
  #concurrency;
  #capacity;
  #lease;
  #decide;
  #onEvent;
  #book;
  #changed;
  #claiming = new AbortController();
  #settling = new AbortController();
  #started = false;
  #stopping = false;
  #hurried = false;
  #grace = 25;
  #answered = true;
  #atOnce = false;
  #ending = false;
  #sending = 0;

  /** Why it has stopped by itself, such as a key that is wrong. */
  error = null;

  constructor(runtime, groups, handle, { concurrency = 10, prefetch, lease = 30, longest, retry, onEvent } = {}) {
    if (!(concurrency >= 1)) throw new TypeError("a worker works on one message at a time at the least");
    this.#runtime = runtime;
    this.#groups = groups;
    this.#handle = handle;
    this.#concurrency = concurrency;
    this.#capacity = Math.min(MAX_HELD, concurrency + (prefetch ?? concurrency));
    this.#lease = lease;
    this.#decide = retry;
    this.#onEvent = onEvent;
    this.#book = new LeaseBook(lease, longest);
    this.#changed = new Wake(runtime);
  }

  /** How many messages are worked on at this moment. */
  get busy() {
    return this.#book.running;
  }

  /** Whether the last claim was answered: for a liveness probe. */
  get healthy() {
    return this.#answered && this.error === null;
  }

  /** Stop claiming, and finish work within `grace` seconds; the second call gives back what is worked on as well. */
  stop({ grace } = {}) {
    if (grace !== undefined) this.#grace = grace;
    this.#hurried = this.#stopping;
    this.#stopping = true;
    this.#claiming.abort();
    this.#changed.notify();
  }

  /**
   * Work until `signal` is aborted, or `stop()`; then finish what is worked on, for `grace` seconds at the most.
   *
   * Resolves to whether all that was worked on is finished and settled. Throws the error that no repeat mends, such as
   * a key that is wrong.
   */
  async run({ signal, grace = 25 } = {}) {
    if (this.#started) throw new TypeError("this worker was started already");
    this.#started = true;
    this.#grace = grace;
    const stop = () => this.stop();
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    const keepers = this.#groups.map((_, number) => this.#keep(number));
    try {
      const claimers = this.#groups.map((_, number) => this.#claimOn(number));
      for (let each = 0; each < this.#concurrency; each++) this.#work();
      while (!this.#stopping) await this.#changed.wait();
      const clean = await this.#finish(claimers);
      if (this.error) throw this.error;
      return clean;
    } finally {
      signal?.removeEventListener("abort", stop);
      this.#ending = true;
      this.#settling.abort();
      this.#changed.notify();
      await Promise.all(keepers);
    }
  }

  async #finish(claimers) {
    const { now } = this.#runtime;
    const book = this.#book;
    const until = now() + this.#grace;
    this.#tell("stopping", { busy: book.running });
    await Promise.all(claimers);
    const givenBack = book.giveBack(now(), false);
    this.#changed.notify();
    while (book.running && !this.#hurried && now() < until) await this.#changed.wait(until - now());
    const unfinished = book.giveBack(now(), true);
    const settled = await this.#settleAll(unfinished ? SETTLING : Math.max(SETTLING, until - now()));
    this.#tell("stopped", { givenBack, unfinished, settled });
    return settled && !unfinished;
  }

  async #settleAll(seconds) {
    const { now } = this.#runtime;
    const until = now() + seconds;
    const open = () => this.#book.unsettled > 0 || this.#sending > 0;
    this.#atOnce = true;
    this.#changed.notify();
    while (open() && now() < until) await this.#changed.wait(until - now());
    return !open();
  }

  /** Tell the worker's user of an event; an error in that is shown, and changes nothing. */
  #tell(event, details) {
    try {
      this.#onEvent?.(event, details);
    } catch (error) {
      console.error("onEvent failed for", event, error);
    }
  }

  // Claims

  async #claimOn(number) {
    const group = this.#groups[number];
    for (let failures = 0; !this.#stopping;) {
      if (this.#book.size >= this.#capacity) {
        await this.#changed.wait();
        continue;
      }
      try {
        await this.#claim(number, group);
        failures = 0;
        this.#answered = true;
      } catch (error) {
        if (this.#stopping) return;
        this.#tell("claim-failed", { group, error });
        if (error instanceof QueueyError && !error.retryable && !(error instanceof Unavailable)) {
          this.error = error;
          this.stop();
          return;
        }
        this.#answered = false;
        const pause = Math.min(0.1 * 2 ** failures, LONGEST_PAUSE);
        await this.#runtime.sleep(pause, this.#claiming.signal).catch(() => {});
        failures = Math.min(failures + 1, 10);
      }
    }
  }

  async #claim(number, group) {
    const limit = Math.max(1, this.#capacity - this.#book.size);
    const asked = this.#runtime.now();
    const options = { lease: this.#lease, wait: WAIT, signal: this.#claiming.signal };
    const messages = await group.claim(limit, options);
    this.#book.add(number, messages, asked);
    this.#changed.notify();
    if (messages.length) this.#tell("claimed", { group, messages: messages.length });
  }

  // Work

  async #work() {
    for (;;) {
      let held = this.#stopping ? null : this.#book.take();
      while (held === null && !this.#stopping) {
        await this.#changed.wait();
        held = this.#stopping ? null : this.#book.take();
      }
      if (held === null) return;
      const verdict = await this.#workOn(held);
      this.#book.decide(held, verdict, this.#runtime.now());
      this.#changed.notify();
    }
  }

  async #workOn(held) {
    const { delivery } = held;
    const began = this.#runtime.now();
    try {
      await this.#handle(delivery, { signal: held.abort.signal });
    } catch (error) {
      // What was given back already is decided: the handler was told to stop, and did.
      if (!this.#book.has(held)) return Verdict.again();
      const verdict = this.#verdict(delivery, error);
      this.#tell("failed", { delivery, error, verdict });
      return verdict;
    }
    if (this.#book.has(held)) this.#tell("handled", { delivery, seconds: this.#runtime.now() - began });
    return ACK;
  }

  #verdict(delivery, error) {
    if (this.#decide && !(error instanceof Reject) && !(error instanceof RetryLater)) {
      try {
        const verdict = this.#decide(delivery, error);
        if (verdict instanceof Verdict) return verdict;
      } catch (failed) {
        console.error("retry failed for message", delivery.id, failed);
      }
    }
    return defaultVerdict(delivery, error);
  }

  // Leases and settlements

  async #keep(number) {
    const { now } = this.#runtime;
    const book = this.#book;
    for (;;) {
      const plan = book.plan(number, now(), this.#atOnce);
      if (plan) {
        this.#sending += 1;
        try {
          await this.#send(number, plan);
        } finally {
          this.#sending -= 1;
          this.#changed.notify();
        }
      } else if (this.#ending) {
        return;
      } else {
        await this.#changed.wait(book.due(number, now()));
      }
    }
  }

  async #send(number, plan) {
    const { now } = this.#runtime;
    const group = this.#groups[number];
    let outcomes;
    try {
      outcomes = await group.settle(plan.settlement, { signal: this.#settling.signal });
    } catch (error) {
      if (!(error instanceof Stale)) {
        const again = !this.#ending && (!(error instanceof QueueyError) || error.retryable);
        this.#book.failed(number, plan, again, now());
        this.#tell("settle-failed", { group, error });
        return;
      }
      outcomes = error.outcomes;
    }
    for (const { delivery } of this.#book.settled(number, plan, new Map(outcomes), now())) this.#tell("lost", { delivery });
  }
}
