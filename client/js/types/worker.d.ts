/** Workers. */

import type { CallOptions } from "./client.js";
import type { QueueyError } from "./errors.js";
import type { Group } from "./group.js";
import type { Delivery } from "./messages.js";

/** Works on a message. What it returns acks it; what it throws gives it again. `signal` is aborted if it shall stop. */
export type Handle = (delivery: Delivery, context: { signal: AbortSignal }) => unknown;
export type WorkerEvent =
  | "claimed"
  | "handled"
  | "failed"
  | "lost"
  | "claim-failed"
  | "settle-failed"
  | "stopping"
  | "stopped";

export interface WorkerOptions {
  /** Messages that are worked on at once. 10. */
  concurrency?: number;
  /** Messages that are held besides; as many as `concurrency`. */
  prefetch?: number;
  /** Seconds of the lease, which is extended after a third of them. 30. */
  lease?: number;
  /** Seconds after which the lease of a message is not extended any more. */
  longest?: number;
  /** What becomes of a message that failed, unless the handler threw `Reject` or `RetryLater`. */
  retry?: (delivery: Delivery, error: unknown) => Verdict;
  /** Groups of other queues that are claimed from too. */
  also?: Group[];
  /** Called with each event; without it, what went wrong goes to the console. */
  onEvent?: (event: WorkerEvent, details: Record<string, any>) => unknown;
}

/** What becomes of a message whose handler failed. */
export class Verdict {
  protected constructor(action: string);
  readonly action: "ack" | "retry" | "reject";
  readonly delay: number;
  readonly reason: string;
  /** It is given again after so many seconds, 30 days at the most. */
  static again(delay?: number): Verdict;
  /** It goes to the dead-letter queue, or is set aside. */
  static giveUp(reason?: string): Verdict;
}

/** Thrown by a handler: give the message up, to the dead-letter queue if there is one. */
export class Reject extends Error {}

/** Thrown by a handler: give the message again after `delay` seconds. */
export class RetryLater extends Error {
  constructor(delay: number, reason?: string);
  readonly delay: number;
}

/** Works on messages until it is stopped. It runs once. */
export class Worker {
  protected constructor(clock: object, groups: Group[], handle: Handle, options?: WorkerOptions);
  /**
   * Work until SIGTERM or SIGINT (in Node.js, unless `signals` is `false`), until `signal` is aborted, or `stop()`.
   *
   * Resolves to an exit status: 0, or 1 if something had to be given back in the middle or could not be settled. Throws
   * the error that no repeat mends, such as a key that is wrong.
   */
  run(options?: CallOptions & { signals?: boolean; grace?: number }): Promise<0 | 1>;
  /** Claim no more, and finish work within `grace` seconds (25). The second call gives back what is worked on as well. */
  stop(options?: { grace?: number }): void;
  /** How many messages are worked on at this moment. */
  get busy(): number;
  /** Whether the last claim was answered: for a liveness probe. */
  get healthy(): boolean;
  /** Why it has stopped by itself, such as a key that is wrong. */
  readonly error: QueueyError | null;
}
