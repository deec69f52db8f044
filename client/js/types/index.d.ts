/**
 * Queuey's client for browsers and Node.js.
 *
 * Durations and times of waiting are seconds. Each call takes `signal`, which ends it: then the signal's reason is
 * thrown. Whatever else goes wrong is a `QueueyError`, except wrong arguments, which are a `TypeError`.
 */

export * from "./client.js";
export * from "./cursors.js";
export * from "./errors.js";
export * from "./group.js";
export * from "./messages.js";
export * from "./push.js";
export * from "./retry.js";
export * from "./schedule.js";
export * from "./worker.js";
