/** The calls of a push. */

import type { CallOptions } from "./client.js";

export interface PushInfo {
  name: string;
  url: string;
  /** `blocked`: the settings of the server do not allow it to send. */
  state: "active" | "failing" | "paused" | "blocked";
  /** Since when it is failing or paused. */
  since: Date | null;
  /** Attempts in a row that failed. */
  failures: number;
  lastError: string | null;
  blocked: string | null;
  version: string;
  /** In the answer that created the push, and no other. */
  secret: string | null;
  document: Record<string, any>;
}

export interface PushAttempt {
  time: Date;
  /** Of the message, as `webhook-id` has it. */
  id: string;
  deliveries: number;
  status: number | null;
  milliseconds: number;
  /** `null` if the endpoint took the message. */
  error: string | null;
}

export interface PushTest {
  status: number | null;
  milliseconds: number;
  error: string | null;
  reason: string | null;
}

/** A push of a queue: the server sends each message to an HTTP endpoint. */
export class Push {
  protected constructor(requests: object, queue: string, name: string);
  readonly name: string;
  readonly queue: string;
  /** Create the push, or give it these settings and leave its others. A new one needs `url`. */
  ensure(settings?: Record<string, unknown>, options?: CallOptions): Promise<PushInfo>;
  info(options?: CallOptions): Promise<PushInfo>;
  /** Let it send nothing more; messages wait in the queue. */
  pause(options?: CallOptions): Promise<PushInfo>;
  /** Let it go on; its endpoint is tried at once. */
  resume(options?: CallOptions): Promise<PushInfo>;
  /** Send a test message to the endpoint, and wait for its answer. */
  test(options?: CallOptions): Promise<PushTest>;
  /** The last 100 attempts, the newest first. */
  attempts(options?: CallOptions): Promise<PushAttempt[]>;
  /** Add a secret: from now on each request has a signature of every secret. */
  addSecret(options?: CallOptions): Promise<{ id: string; secret: string }>;
  removeSecret(id: string, options?: CallOptions): Promise<void>;
  /** Delete the push and its group; messages stay. */
  remove(options?: CallOptions): Promise<void>;
}
