/** The calls of a consumer group. */

import type { CallOptions } from "./client.js";
import type { Delivery, GroupInfo, Place } from "./messages.js";
import type { Handle, Worker, WorkerOptions } from "./worker.js";

export type Receipts = Delivery | string | (Delivery | string)[];
export type Outcomes = [receipt: string, outcome: string][];

/** How many dead letters were taken back, and how many stay, by the reason: their queue takes no copies of them. */
export interface Redriven {
  moved: number;
  left: Record<string, number>;
}

export interface Settlement {
  ack?: string[];
  retry?: { receipt: string; delay?: number }[];
  reject?: { receipt: string; reason?: string }[];
  extend?: { receipt: string; lease?: number }[];
}

export interface ClaimOptions extends CallOptions {
  lease?: number;
  /** Seconds to wait for a message. 20. */
  wait?: number;
  maxBytes?: number;
  partitions?: number[];
}

/** A consumer group of a queue. */
export class Group {
  protected constructor(requests: object, queue: string, name: string);
  readonly name: string;
  readonly queue: string;
  ensure(settings?: Record<string, unknown>, options?: CallOptions): Promise<GroupInfo>;
  info(options?: CallOptions): Promise<GroupInfo>;
  remove(options?: CallOptions): Promise<void>;
  /** Take messages. Their leases are not extended: `worker` does that. */
  claim(limit?: number, options?: ClaimOptions): Promise<Delivery[]>;
  ack(deliveries: Receipts, options?: CallOptions): Promise<Outcomes>;
  retry(deliveries: Receipts, options?: CallOptions & { delay?: number }): Promise<Outcomes>;
  reject(deliveries: Receipts, options?: CallOptions & { reason?: string }): Promise<Outcomes>;
  extend(deliveries: Receipts, options?: CallOptions & { lease?: number }): Promise<Outcomes>;
  /** Say what became of messages, of several kinds in one request. Throws `Stale` if some receipts changed nothing. */
  settle(settlement: Settlement, options?: CallOptions): Promise<Outcomes>;
  /** Go on from another place. */
  seek(to: "oldest" | "newest" | Date | Place, options?: CallOptions & { partitions?: number[] }): Promise<void>;
  /** Take dead letters back. Say which: `ids`, a time, or `all`. */
  redrive(
    options: CallOptions & { ids?: string[]; since?: Date | string; until?: Date | string; all?: boolean },
  ): Promise<Redriven>;
  /** Let a function work on messages; `run()` of the result begins. */
  worker(handle: Handle, options?: WorkerOptions): Worker;
}
