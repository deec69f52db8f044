/** The calls of a schedule. */

import type { CallOptions } from "./client.js";

export interface ScheduleInfo {
  name: string;
  cron: string;
  timezone: string;
  missed: "skip" | "once";
  /** The next time; `null` while it is paused. */
  next: Date | null;
  /** `failing`: the last message could not be posted, and it is tried again. */
  state: "active" | "failing" | "paused";
  /** Since when it is failing or paused. */
  since: Date | null;
  /** The last time for which a message was posted. */
  lastPosted: Date | null;
  /** Attempts in a row that failed. */
  failures: number;
  /** The code of the last error. */
  lastError: string | null;
  version: string;
  /** All that the server said, the message included. */
  document: Record<string, any>;
}

/** A schedule of a queue: the server posts a message at the times of a cron expression. */
export class Schedule {
  protected constructor(requests: object, queue: string, name: string);
  readonly name: string;
  readonly queue: string;
  /** Create the schedule, or give it these settings and leave its others. A new one needs `cron` and `message`. */
  ensure(settings?: Record<string, unknown>, options?: CallOptions): Promise<ScheduleInfo>;
  info(options?: CallOptions): Promise<ScheduleInfo>;
  /** Let it post nothing more. */
  pause(options?: CallOptions): Promise<ScheduleInfo>;
  /** Let it go on with its next time. */
  resume(options?: CallOptions): Promise<ScheduleInfo>;
  /** Delete the schedule; the messages that it has posted stay. */
  remove(options?: CallOptions): Promise<void>;
}
