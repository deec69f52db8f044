/** Messages, and what the server says about queues and groups. */

/** Where a reader goes on: a cursor, or the id of a message. Text without a meaning; keep it as it is. */
export type Place = string;
export type Guarantee = "at-most-once" | "at-least-once" | "exactly-once";
export type Consistency = "weak" | "strong" | "very-strong";
/** A message's body: bytes and text are sent as they are, any other value as JSON. */
export type Body = Uint8Array | ArrayBuffer | ArrayBufferView | string | number | boolean | object | null;

/** A message as it was read. */
export class Message {
  protected constructor(members: object);
  readonly id: string;
  readonly queue: string;
  readonly partition: number;
  /** When it was stored, in milliseconds; its id has more digits. */
  readonly timestamp: Date;
  readonly expires: Date;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Uint8Array;
  /** Where a reader goes on after it: keep it in the transaction that did the work. */
  readonly place: Place;
  /** For `put` with `ifMatch`; only a message that was read by its id has one. */
  readonly etag: string | null;
  /** The key that it was posted with, if it was stored with one. */
  get key(): string | null;
  /** The body as text. Throws a TypeError if it is not UTF-8. */
  get text(): string;
  /** The body as JSON. Throws a SyntaxError if it is none. */
  json<T = any>(): T;
}

/** A message under a lease. Settling one twice does no harm. */
export class Delivery extends Message {
  /** `null` in a group that is at-most-once: it is settled already. */
  readonly receipt: string | null;
  readonly group: string;
  /** How often it was given, this time included. */
  readonly deliveries: number;
  /** Seconds of its lease. */
  readonly lease: number;
  readonly leaseUntil: Date | null;
  /** Whether the lease is known to have passed to another worker: stop working on the message. */
  readonly lost: boolean;
}

export interface DraftOptions {
  contentType?: string;
  /** The message's own headers. */
  headers?: Record<string, unknown>;
  /** Messages of one key are in one partition. */
  key?: string;
  partition?: number;
  ttl?: number;
  delay?: number;
}

/** A message to be stored. */
export class Draft {
  constructor(body: Body, options?: DraftOptions);
  readonly body: Uint8Array;
  readonly contentType: string;
}

/** What became of a write. */
export interface Stored {
  /** Of the first message. */
  id: string;
  /** In the order sent. */
  ids: string[];
  /** Whether an earlier attempt, or an earlier program, had stored it. */
  duplicate: boolean;
  durable: boolean;
  consistency: Consistency;
  /** The Idempotency-Key that was sent. */
  key: string | null;
}

export interface Page {
  messages: Message[];
  next: Place;
  more: boolean;
  stableUntil: Date;
  /** Whether messages that the reader had not come to are gone; `first` is just before what is left. */
  gap: boolean;
  first: Place | null;
  /** Of a page of many queues: those that messages are gone of, by name. Go on from `next`. */
  gaps?: string[];
  /** Whether the queue is closed and this is its end: nothing more will come. */
  closed: boolean;
}

/** The settings of a queue; `document` is all that the server said, in its own names. */
export interface QueueInfo {
  name: string;
  type: string;
  partitions: number;
  guarantee: Guarantee;
  consistency: Consistency;
  ttl: number;
  principals: string[];
  version: string;
  document: Record<string, any>;
}

export interface Lag {
  partition: number;
  behind: number;
  exact: boolean;
  inFlight: number;
  waiting: number;
  setAside: number;
  oldestAge: number | null;
  settledThrough: Place;
}

/** The settings of a group, and how far it is. */
export interface GroupInfo {
  name: string;
  lease: number;
  maxDeliveries: number;
  deadLetter: string | null;
  order: "none" | "partition";
  guarantee: Guarantee;
  version: string;
  lag: Lag[];
  document: Record<string, any>;
}
