/** What becomes of a message that a handler was given. */

/** Seconds after which a message that fails again and again is given again at the latest. */
const LONGEST_DELAY = 300;

/** Seconds of the longest delay that the server takes. */
const MAX_DELAY = 2_592_000;

/** What becomes of a message whose handler failed; `Verdict.again()` and `Verdict.giveUp()` make one. */
export class Verdict {
  constructor(action, { delay = 0, reason = "" } = {}) {
    Object.assign(this, { action, delay, reason });
  }

  /** The message is delivered again after this number of seconds. */
  static again(delay = 0) {
    // The server refuses a longer one, and with it what is settled in the same request.
    if (!(delay >= 0 && delay <= MAX_DELAY)) throw new TypeError(`a delay is 0 to ${MAX_DELAY} seconds, not ${delay}`);
    return new Verdict("retry", { delay });
  }

  /** It goes to the dead-letter queue, or is set aside. */
  static giveUp(reason = "") {
    return new Verdict("reject", { reason });
  }
}

export const ACK = new Verdict("ack");

/** Thrown by a handler: give the message up, to the dead-letter queue if there is one. */
export class Reject extends Error {
  name = "Reject";
}

/** Thrown by a handler: give the message again after `delay` seconds. */
export class RetryLater extends Error {
  name = "RetryLater";

  constructor(delay, reason = "") {
    super(reason);
    this.delay = Verdict.again(delay).delay;
  }
}

/** Decide by the error, else: again after 1, 2, 4 ... 300 seconds, by how often the message was given. */
export function defaultVerdict(delivery, error) {
  if (error instanceof Reject) return Verdict.giveUp(error.message);
  if (error instanceof RetryLater) return Verdict.again(error.delay);
  return Verdict.again(Math.min(2 ** Math.min(delivery.deliveries - 1, 20), LONGEST_DELAY));
}
