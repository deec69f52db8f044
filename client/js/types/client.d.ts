/** The client of an application, and the calls of a queue. */

import type { Cursors } from "./cursors.js";
import type { ClaimOptions, Group } from "./group.js";
import type { FollowManyOptions, QueueChoice, ReadManyOptions } from "./many.js";
import type {
  Body,
  Delivery,
  Draft,
  DraftOptions,
  GroupInfo,
  Message,
  Page,
  Place,
  QueueInfo,
  Stored,
} from "./messages.js";
import type { Push, PushInfo } from "./push.js";
import type { Retry } from "./retry.js";
import type { Schedule, ScheduleInfo } from "./schedule.js";

export type Secret = string | (() => string | Promise<string>);
export type Operation = "claim" | "delete" | "read" | "write";

export interface CallOptions {
  /** Ends the call. */
  signal?: AbortSignal;
}

export const VERSION: string;

export interface ClientOptions {
  /** Of the application; a function is called once, and again after a 401. */
  key?: Secret;
  /** Of a user. */
  token?: Secret;
  retry?: Retry;
  /** Seconds for the beginning of an answer, and between two pieces of it. 10. */
  timeout?: number;
  /** Takes the place of the global `fetch`. */
  fetch?: typeof globalThis.fetch;
}

/** What names of queues begin with; one, or several. */
export interface PrefixOptions {
  prefix?: string | string[];
}

export interface ClaimManyOptions extends Omit<ClaimOptions, "partitions"> {
  /** `strict`, the default: an earlier group goes before a later one. `fair`: each has its turns. */
  order?: "strict" | "fair";
  /** Messages of these groups that are done: the same request acks them. One that another worker has becomes `lost`. */
  ack?: readonly Delivery[];
}

/** An application of a deployment. */
export class Client {
  /** @param url of the server; of several, each request takes the next one that did not fail lately. */
  constructor(url: string | string[], application: string, options?: ClientOptions);
  readonly application: string;
  /** A queue; the server is not asked yet. */
  queue(name: string): Queue;
  /** All queues whose names begin so. */
  queues(prefix?: string, options?: CallOptions): AsyncGenerator<QueueInfo, void, void>;
  /** Messages of many queues from a start on, in one order, and then those that come, also of queues made meanwhile. */
  follow(queues?: string[], options?: PrefixOptions & FollowManyOptions): AsyncGenerator<Message, void, void>;
  /** Read a page of many queues. */
  readMany(queues?: string[], options?: PrefixOptions & ReadManyOptions): Promise<Page>;
  /** Take messages of the first of several groups that has some; each group is the name of a queue and its own. */
  claimMany(
    groups: (readonly [queue: string, group: string])[],
    limit?: number,
    options?: ClaimManyOptions,
  ): Promise<Delivery[]>;
  /** A URL that lets others read many queues for so many seconds. Needs the key: make it on a server. */
  signedUrl(queues: string[], seconds: number, options?: PrefixOptions & { rate?: number }): Promise<string>;
  /** What the application is promised, and its limits; kept for a minute. */
  promises(options?: CallOptions): Promise<Record<string, any>>;
  /** The queue that a signed URL lets in to. */
  static fromSignedUrl(url: string, options?: Pick<ClientOptions, "retry" | "timeout" | "fetch">): Queue;
  /** The queues that a signed URL of many lets in to. */
  static choiceFromSignedUrl(url: string, options?: Pick<ClientOptions, "retry" | "timeout" | "fetch">): QueueChoice;
}

export interface PostOptions extends CallOptions {
  /** Your own key, such as the number of the order. Without one, each call has a key of its own; `""` is none. */
  idempotencyKey?: string;
}

export interface PutOptions extends CallOptions, Pick<DraftOptions, "contentType" | "headers" | "ttl"> {
  ifMatch?: string;
  ifNoneMatch?: "*";
}

export interface ReadOptions extends CallOptions {
  after?: Place | null;
  since?: Date | string;
  until?: Date | string;
  order?: "asc" | "desc";
  limit?: number;
  maxBytes?: number;
  partitions?: number[];
  /** Seconds to wait for a message if there is none; up to 20. */
  wait?: number;
  fresh?: boolean;
}

export interface IteratorOptions extends CallOptions {
  partitions?: number[];
  limit?: number;
  maxBytes?: number;
  /** A name under which `cursors` keep where this reader is. */
  reader?: string;
  cursors?: Cursors;
  /** What to do if messages that the reader had not come to are gone. `raise`, which throws `Gap`. */
  onGap?: "raise" | "warn" | "ignore";
}

export interface MessagesOptions extends IteratorOptions, Pick<ReadOptions, "after" | "since" | "until" | "order"> {}

export interface FollowOptions extends IteratorOptions {
  /** Where a reader without a place begins: `newest`, `oldest`, a time or a place. `newest`. */
  start?: "newest" | "oldest" | Date | Place;
  /** Seconds without a message after which it ends; without it, it never does. */
  idle?: number;
}

export interface SignedUrlOptions {
  /** Requests a second at the most. */
  rate?: number;
  /** `events` is the live read that an EventSource of a page follows. `messages`. */
  path?: "messages" | "events";
}

/** A queue; the server is not asked until a method is called. */
export class Queue {
  protected constructor(requests: object, name: string);
  readonly name: string;
  /** Store a message; resolves once it is as durable as the store's settings say. */
  post(body: Draft, options?: PostOptions): Promise<Stored>;
  post(body: Body, options?: PostOptions & DraftOptions): Promise<Stored>;
  /** Store up to 1,000 messages, all or none. */
  postAll(drafts: Iterable<Draft | Body>, options?: PostOptions): Promise<Stored>;
  /** Overwrite a message; resolves to whether it is a new one. */
  put(id: string, body: Draft | Body, options?: PutOptions): Promise<boolean>;
  delete(id: string, options?: CallOptions): Promise<void>;
  /** Delete all messages before a time, an id, or `now`. */
  purge(before?: Date | string, options?: CallOptions): Promise<void>;
  /** Read one page. */
  read(options?: ReadOptions): Promise<Page>;
  get(id: string, options?: CallOptions): Promise<Message>;
  /** All messages that are there now, page by page. */
  messages(options?: MessagesOptions): AsyncGenerator<Message, void, void>;
  /** Messages from a start on, and then those that come. */
  follow(options?: FollowOptions): AsyncGenerator<Message, void, void>;
  info(options?: CallOptions): Promise<QueueInfo>;
  /** Create the queue, or give it these settings and leave its others. */
  ensure(settings?: Record<string, unknown>, options?: CallOptions): Promise<QueueInfo>;
  /** Delete the queue with all its messages. */
  remove(options?: CallOptions): Promise<void>;
  /** A consumer group; the server is not asked yet. */
  group(name: string): Group;
  groups(options?: CallOptions): Promise<GroupInfo[]>;
  /** A push; the server is not asked yet. */
  push(name: string): Push;
  pushes(options?: CallOptions): Promise<PushInfo[]>;
  /** A schedule; the server is not asked yet. */
  schedule(name: string): Schedule;
  schedules(options?: CallOptions): Promise<ScheduleInfo[]>;
  /** A URL that lets others do some operations for so many seconds. Needs the application's key: make it on a server. */
  signedUrl(operations: Operation[], seconds: number, options?: SignedUrlOptions): Promise<string>;
}
