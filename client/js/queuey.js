/**
 * Queuey's client for browsers and Node.js: the entry of the module, without dependencies.
 *
 * `queuey.d.ts` beside it has the types.
 */
export { Client } from "./lib/client.js";
export { StorageCursors } from "./lib/reading.js";
export {
  Changed, Gap, Invalid, Limited, NotAllowed, NotFound, NotPromised, QueueReplaced, QueueyError, Stale, Unavailable,
} from "./lib/errors.js";
export { Retry } from "./lib/retry.js";
export { Delivery, Draft, Message } from "./lib/values.js";
export { Reject, RetryLater, Verdict } from "./lib/verdicts.js";
