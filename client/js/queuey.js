/**
 * Queuey's client for browsers and Node.js: the entry of the module, which needs no others.
 *
 * `types/` has the types.
 */
export { Client, VERSION } from "./lib/client.js";
export { StorageCursors } from "./lib/cursors.js";
export {
  Changed,
  Gap,
  Invalid,
  Limited,
  NotAllowed,
  NotFound,
  NotPromised,
  QueueReplaced,
  QueueyError,
  Stale,
  Unavailable,
} from "./lib/errors.js";
export { Group } from "./lib/group.js";
export { Reject, RetryLater, Verdict } from "./lib/handler-results.js";
export { Delivery, Draft, Message } from "./lib/messages.js";
export { Push } from "./lib/push.js";
export { Queue } from "./lib/queue.js";
export { Retry } from "./lib/request-retry.js";
export { Schedule } from "./lib/schedule.js";
export { Worker } from "./lib/worker.js";
