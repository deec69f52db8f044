/** Many queues as one. */

import type { FollowOptions, ReadOptions } from "./client.js";
import type { Message, Page } from "./messages.js";

export interface ReadManyOptions
  extends Pick<ReadOptions, "after" | "limit" | "maxBytes" | "wait" | "fresh" | "signal"> {
  since?: Date;
  /** Where a read without a place begins. `newest`. */
  start?: "newest" | "oldest";
}

export type FollowManyOptions = Omit<FollowOptions, "partitions">;

/** Queues that are chosen by name, and by what their names begin with. Messages come in one order, with one place. */
export class QueueChoice {
  protected constructor(requests: object, queues: string[], prefix: string | string[]);
  readonly queues: string[];
  readonly prefixes: string[];
  /** Read a page. */
  read(options?: ReadManyOptions): Promise<Page>;
  /** Messages from a start on, and then those that come, also of queues that are made meanwhile. */
  follow(options?: FollowManyOptions): AsyncGenerator<Message, void, void>;
}
