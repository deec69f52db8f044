/** The messages that a worker has a lease of: which lease is extended when, and what is settled when. */

import { isLost } from "./errors.js";
import { ACK, Verdict } from "./handler-results.js";

/** Seconds that an ack waits for others, to be sent with them. */
const GATHERED = 0.02;

/** The part of a lease after which it is extended: two attempts can fail. */
const EXTENDED_AT = 1 / 3;

/** Seconds until a settlement that failed is sent again. */
const AGAIN = 1;

/** Plain bookkeeping, without clock or I/O. */
export class LeasedMessages {
  #lease;
  #longest;
  #held = new Set();
  #buffer = [];
  #outbox = [];
  #notBefore = new Map();
  running = 0;

  constructor(lease, longest) {
    this.#lease = lease;
    this.#longest = longest;
  }

  /** How many messages are held, and not decided yet. */
  get size() {
    return this.#held.size;
  }

  /** How many are decided, and the server is not known to have heard of it. */
  get unsettled() {
    return this.#outbox.length;
  }

  /** Whether a message is held, and not decided yet. */
  has(held) {
    return this.#held.has(held);
  }

  /** Take messages of a claim that was sent at `asked`: leases may have begun then. */
  add(group, deliveries, asked) {
    for (const delivery of deliveries) {
      const extendAt = asked + (delivery.lease || this.#lease) * EXTENDED_AT;
      const held = {
        delivery,
        group,
        since: asked,
        extendAt,
        phase: "buffered",
        verdict: ACK,
        decided: 0,
        abort: new AbortController(),
      };
      this.#held.add(held);
      this.#buffer.push(held);
    }
  }

  /** The next message to work on; those whose lease is lost are passed over. */
  take() {
    while (this.#buffer.length) {
      const held = this.#buffer.shift();
      if (held.phase !== "buffered") continue;
      if (held.delivery.lost) {
        this.#held.delete(held);
        continue;
      }
      held.phase = "running";
      this.running += 1;
      return held;
    }
    return null;
  }

  /** Say what becomes of a message; only the first word counts. */
  decide(held, verdict, now) {
    if (held.phase === "decided") return;
    if (held.phase === "running") this.running -= 1;
    Object.assign(held, { phase: "decided", verdict, decided: now });
    this.#held.delete(held);
    // Without a receipt it is settled already; with a lost lease there is nothing to settle.
    if (held.delivery.receipt !== null && !held.delivery.lost) this.#outbox.push(held);
  }

  /** Give back what waits, and also what is worked on if `running`: others have it at once. Returns how many. */
  giveBack(now, running) {
    const chosen = [...this.#held].filter((held) => running || held.phase === "buffered");
    this.#buffer = [];
    for (const held of chosen) {
      held.abort.abort();
      this.decide(held, Verdict.again(), now);
    }
    return chosen.length;
  }

  /** What is to be sent now to a group; `null` if there is nothing. With `atOnce`, acks do not wait for others. */
  plan(group, now, atOnce) {
    if (now < (this.#notBefore.get(group) ?? 0)) return null;
    const waiting = this.#outbox.filter((held) => held.group === group);
    const ripe = waiting.length > 0 && (atOnce || now >= waiting[0].decided + GATHERED);
    const decided = ripe ? waiting : [];
    const extended = [...this.#held].filter(
      (held) => held.group === group && held.extendAt <= now && this.#extends(held, now),
    );
    if (!decided.length && !extended.length) return null;
    if (ripe) this.#outbox = this.#outbox.filter((held) => held.group !== group);
    const chosen = (action) => decided.filter(({ verdict }) => verdict.action === action);
    return {
      decided,
      extended,
      settlement: {
        ack: chosen("ack").map(({ delivery }) => delivery.receipt),
        retry: chosen("retry").map(({ delivery, verdict }) => ({ receipt: delivery.receipt, delay: verdict.delay })),
        reject: chosen("reject").map(({ delivery, verdict }) => ({
          receipt: delivery.receipt,
          reason: verdict.reason,
        })),
        extend: extended.map(({ delivery }) => ({ receipt: delivery.receipt, lease: this.#lease })),
      },
    };
  }

  #extends({ delivery, since }, now) {
    if (delivery.receipt === null || delivery.lost) return false;
    return this.#longest === undefined || now - since < this.#longest;
  }

  /** The seconds until there is something to send to a group; `null` if there is nothing. */
  due(group, now) {
    const moments = [...this.#held]
      .filter((held) => held.group === group && this.#extends(held, now))
      .map((held) => held.extendAt);
    const waiting = this.#outbox.find((held) => held.group === group);
    if (waiting) moments.push(waiting.decided + GATHERED);
    if (!moments.length) return null;
    return Math.max(0, Math.min(...moments) - now, (this.#notBefore.get(group) ?? 0) - now);
  }

  /** Take note of outcomes, by receipt. Returns the messages whose lease is lost. */
  settled(group, { decided, extended }, outcomes, now) {
    this.#notBefore.delete(group);
    for (const held of extended) held.extendAt = now + this.#lease * EXTENDED_AT;
    const lost = [...decided, ...extended].filter(({ delivery }) => isLost(outcomes.get(delivery.receipt)));
    for (const held of lost) {
      held.delivery.lost = true;
      held.abort.abort();
    }
    return lost;
  }

  /** Take note of a settlement that failed; if it is not sent `again`, its messages are given when their leases end. */
  failed(group, { decided, extended }, again, now) {
    if (again) this.#outbox = [...decided, ...this.#outbox];
    this.#notBefore.set(group, now + AGAIN);
    for (const held of extended) held.extendAt = now + AGAIN;
  }
}
