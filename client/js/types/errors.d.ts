/** Errors, by what a caller does about them. */

import type { Place } from "./messages.js";

/** What went wrong, in the words of the server's problem document. */
export class QueueyError extends Error {
  constructor(detail: string, members?: object);
  readonly detail: string;
  /** What programs go by; new ones may come. */
  readonly code: string;
  /** `null` if there was no answer. */
  readonly status: number | null;
  readonly retryable: boolean;
  /** Whether anything was stored, by all attempts together. */
  readonly applied: "no" | "yes" | "partly" | "unknown";
  readonly errors: Record<string, any>[];
  readonly requestId: string | null;
  readonly retryAfter: number | null;
  readonly limit: string | null;
  /** The whole problem document. */
  readonly problem: Record<string, any>;
  readonly attempts: number;
}
/** The request is wrong, and stays wrong: mend the program (400, 405, 409, 413 to 416, 422, 431). */
export class Invalid extends QueueyError {}
/** The key or token is wrong, or does not allow this (401, 403). */
export class NotAllowed extends QueueyError {}
/** There is no such application, queue, group or message (404). */
export class NotFound extends QueueyError {}
/** Another client was quicker: read it again, and decide again (409 `conflict`, 412). */
export class Changed extends QueueyError {}
/** The store, or a queue like this, cannot promise that (409 `not-promised`). */
export class NotPromised extends QueueyError {}
/** A rate or a quota was met, and retries did not help within the deadline (429, 507). */
export class Limited extends QueueyError {}
/** The server could not be reached or did not answer in time; `applied` says what is known (408, 5xx). */
export class Unavailable extends QueueyError {}
/** The queue was deleted and made again (410). */
export class QueueReplaced extends QueueyError {
  /** A cursor that goes on in the new queue. */
  get oldest(): Place;
}
/** Thrown by iterators: messages that the reader had not come to are gone. */
export class Gap extends QueueyError {
  /** A cursor just before those that are left. */
  readonly first: Place;
  /** `null` if there are too many to name. */
  readonly queue: string | null;
}
/** Some receipts changed nothing, and the other settlements were applied (409 `stale-receipts`). */
export class Stale extends QueueyError {
  /** Receipts and their outcomes, in the order asked. */
  readonly outcomes: [receipt: string, outcome: string][];
  /** The receipts that changed nothing. */
  get stale(): string[];
}
