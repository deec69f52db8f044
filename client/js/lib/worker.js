/** A worker: claims messages, works on them, keeps their leases alive, and settles them. */

import { QueueyError, Stale, Unavailable } from "./errors.js";
import { LeasedMessages } from "./leased-messages.js";
import { Condition } from "./clock.js";
import { ACK, Reject, RetryLater, Verdict, defaultVerdict } from "./handler-results.js";

/** Seconds of one claim's wait. */
const WAIT = 20;

/** Seconds of the longest pause after claims that failed. */
const LONGEST_PAUSE = 30;

/** Seconds for the last settlements, after the time to finish work is over. */
const SETTLING = 5;

/** The most messages that a worker has. */
const MAX_HELD = 1000;

/** What a worker does with events unless its user says: what went wrong goes to the console. */
function logFailures(event, { delivery, group, error }) {
  if (event === "lost") console.warn(`queuey: the lease of message ${delivery.id} of ${delivery.queue} was lost`);
  else if (event === "failed") console.error(`queuey: message ${delivery.id} of ${delivery.queue} failed:`, error);
  else if (error) console.warn(`queuey: ${event} for group ${group.name} of ${group.queue}:`, error);
}

/** The process of Node.js; a browser has none. */
const NODE = globalThis.process?.versions?.node ? globalThis.process : null;

/** Works on the messages of groups until it is stopped. It runs once. */
export class Worker {
  #clock;
  #groups;
  #handle;
  #concurrency;
  #capacity;
  #lease;
  #decide;
  #onEvent;
  #leased;
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

  constructor(
    clock,
    groups,
    handle,
    { concurrency = 10, prefetch, lease = 30, longest, retry, onEvent = logFailures } = {},
  ) {
    if (!(concurrency >= 1)) throw new TypeError("a worker works on one message at a time at the least");
    this.#clock = clock;
    this.#groups = groups;
    this.#handle = handle;
    this.#concurrency = concurrency;
    this.#capacity = Math.min(MAX_HELD, concurrency + (prefetch ?? concurrency));
    this.#lease = lease;
    this.#decide = retry;
    this.#onEvent = onEvent;
    this.#leased = new LeasedMessages(lease, longest);
    this.#changed = new Condition(clock);
  }

  /** How many messages are worked on at this moment. */
  get busy() {
    return this.#leased.running;
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
   * Work until SIGTERM or SIGINT in Node.js, until `signal` is aborted, or until `stop()`; then finish what is worked on,
   * for `grace` seconds at the most.
   *
   * Resolves to an exit status: 0, or 1 if something had to be given back in the middle or could not be settled. Throws
   * the error that no repeat mends, such as a key that is wrong.
   */
  async run({ signals = true, signal, grace = 25 } = {}) {
    if (this.#started) throw new TypeError("this worker was started already");
    this.#started = true;
    this.#grace = grace;
    const stop = () => this.stop();
    if (signal?.aborted) stop();
    const caught = signals && NODE ? ["SIGTERM", "SIGINT"] : [];
    for (const name of caught) NODE.on(name, stop);
    signal?.addEventListener("abort", stop, { once: true });
    const keepers = this.#groups.map((_, number) => this.#keep(number));
    try {
      const claimers = this.#groups.map((_, number) => this.#claimOn(number));
      for (let each = 0; each < this.#concurrency; each++) this.#work();
      while (!this.#stopping) await this.#changed.wait();
      const clean = await this.#finish(claimers);
      if (this.error) throw this.error;
      return clean ? 0 : 1;
    } finally {
      for (const name of caught) NODE.off(name, stop);
      signal?.removeEventListener("abort", stop);
      this.#ending = true;
      this.#settling.abort();
      this.#changed.notify();
      await Promise.all(keepers);
    }
  }

  async #finish(claimers) {
    const { now } = this.#clock;
    const leased = this.#leased;
    const until = now() + this.#grace;
    this.#tell("stopping", { busy: leased.running });
    await Promise.all(claimers);
    const givenBack = leased.giveBack(now(), false);
    this.#changed.notify();
    while (leased.running && !this.#hurried && now() < until) await this.#changed.wait(until - now());
    const unfinished = leased.giveBack(now(), true);
    const settled = await this.#settleAll(unfinished ? SETTLING : Math.max(SETTLING, until - now()));
    this.#tell("stopped", { givenBack, unfinished, settled });
    return settled && !unfinished;
  }

  async #settleAll(seconds) {
    const { now } = this.#clock;
    const until = now() + seconds;
    const open = () => this.#leased.unsettled > 0 || this.#sending > 0;
    this.#atOnce = true;
    this.#changed.notify();
    while (open() && now() < until) await this.#changed.wait(until - now());
    return !open();
  }

  /** Call `onEvent`; an error in that is shown, and changes nothing. */
  #tell(event, details) {
    const call = async () => this.#onEvent(event, details);
    call().catch((error) => console.error("onEvent failed for", event, error));
  }

  // Claims

  async #claimOn(number) {
    const group = this.#groups[number];
    for (let failures = 0; !this.#stopping; ) {
      if (this.#leased.size >= this.#capacity) {
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
        await this.#clock.sleep(pause, this.#claiming.signal).catch(() => {});
        failures = Math.min(failures + 1, 10);
      }
    }
  }

  async #claim(number, group) {
    const limit = Math.max(1, this.#capacity - this.#leased.size);
    const asked = this.#clock.now();
    const options = { lease: this.#lease, wait: WAIT, signal: this.#claiming.signal };
    const messages = await group.claim(limit, options);
    this.#leased.add(number, messages, asked);
    this.#changed.notify();
    if (messages.length) this.#tell("claimed", { group, messages: messages.length });
  }

  // Work

  async #work() {
    for (;;) {
      let held = this.#stopping ? null : this.#leased.take();
      while (held === null && !this.#stopping) {
        await this.#changed.wait();
        held = this.#stopping ? null : this.#leased.take();
      }
      if (held === null) return;
      const verdict = await this.#workOn(held);
      this.#leased.decide(held, verdict, this.#clock.now());
      this.#changed.notify();
    }
  }

  async #workOn(held) {
    const { delivery } = held;
    const began = this.#clock.now();
    try {
      await this.#handle(delivery, { signal: held.abort.signal });
    } catch (error) {
      // What was given back already is decided: the handler was told to stop, and did.
      if (!this.#leased.has(held)) return Verdict.again();
      const verdict = this.#verdict(delivery, error);
      this.#tell("failed", { delivery, error, verdict });
      return verdict;
    }
    if (this.#leased.has(held)) this.#tell("handled", { delivery, seconds: this.#clock.now() - began });
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
    const { now } = this.#clock;
    const leased = this.#leased;
    for (;;) {
      const plan = leased.plan(number, now(), this.#atOnce);
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
        await this.#changed.wait(leased.due(number, now()));
      }
    }
  }

  async #send(number, plan) {
    const { now } = this.#clock;
    const group = this.#groups[number];
    let outcomes;
    try {
      outcomes = await group.settle(plan.settlement, { signal: this.#settling.signal });
    } catch (error) {
      if (!(error instanceof Stale)) {
        const again = !this.#ending && (!(error instanceof QueueyError) || error.retryable);
        this.#leased.failed(number, plan, again, now());
        this.#tell("settle-failed", { group, error });
        return;
      }
      outcomes = error.outcomes;
    }
    for (const { delivery } of this.#leased.settled(number, plan, new Map(outcomes), now()))
      this.#tell("lost", { delivery });
  }
}
