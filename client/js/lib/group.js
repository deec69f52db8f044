/** The calls of a consumer group. */

import { deliveriesOf, groupInfo, resultOf } from "./answers.js";
import { claim } from "./claims.js";
import { JSON_TYPE, compact, isEnd, placeText, optionalNumber, plainNumber, segment } from "./encoding.js";
import { Stale, outcomesOf } from "./errors.js";
import { ensure, remove } from "./settings.js";
import { Worker } from "./worker.js";

/** Receipts of one settlement. */
const MAX_RECEIPTS = 1000;

/** Bytes of the reason of a rejection. */
const MAX_REASON = 1024;

/** A consumer group of a queue. */
export class Group {
  #requests;
  #path;

  constructor(requests, queue, name) {
    this.name = name;
    this.queue = queue;
    this.#requests = requests;
    this.#path = `/queues/${segment(queue)}/groups/${segment(name)}`;
  }

  /** Create the group, or give it these settings and leave its others. */
  async ensure(settings = {}, { signal } = {}) {
    return resultOf(await ensure(this.#requests, this.#path, settings, signal), groupInfo);
  }

  /** The settings of the group, and how far it is. */
  async info({ signal } = {}) {
    return resultOf(await this.#requests.send({ method: "GET", path: this.#path }, signal), groupInfo);
  }

  /** Delete the group; messages stay. */
  async remove({ signal } = {}) {
    await remove(this.#requests, this.#path, signal);
  }

  /**
   * Take messages under a lease, with a key: an answer that is lost loses no time.
   *
   * Their leases are not extended: `worker` does that.
   */
  async claim(limit = 10, { lease, wait = 20, maxBytes, partitions, signal } = {}) {
    const asked = { partitions: partitions?.length ? partitions : undefined };
    const parse = (document) => deliveriesOf(this.queue, this.name, document);
    const options = { limit, lease, wait, maxBytes, signal };
    return claim(this.#requests, `${this.#path}/claims`, this.#path, asked, options, parse);
  }

  /** Say that messages are done. */
  async ack(deliveries, { signal } = {}) {
    return this.settle({ ack: receiptsOf(deliveries) }, { signal });
  }

  /** Give messages back, to be given again after `delay` seconds. */
  async retry(deliveries, { delay = 0, signal } = {}) {
    return this.settle({ retry: receiptsOf(deliveries).map((receipt) => ({ receipt, delay })) }, { signal });
  }

  /** Give messages up: to the dead-letter queue if the group has one. */
  async reject(deliveries, { reason = "", signal } = {}) {
    return this.settle({ reject: receiptsOf(deliveries).map((receipt) => ({ receipt, reason })) }, { signal });
  }

  /** Let leases end `lease` seconds from now, or as the group says. */
  async extend(deliveries, { lease, signal } = {}) {
    return this.settle({ extend: receiptsOf(deliveries).map((receipt) => ({ receipt, lease })) }, { signal });
  }

  /**
   * Say what became of messages, of several kinds in one request.
   *
   * Resolves to pairs of a receipt and its outcome. Throws `Stale` if some of the receipts changed nothing; the others
   * were applied.
   */
  async settle({ ack = [], retry = [], reject = [], extend = [] }, { signal } = {}) {
    const all = [
      ...ack.map((receipt) => ["ack", receipt]),
      ...retry.map(({ receipt, delay }) => ["retry", { receipt, delay: plainNumber(delay ?? 0) }]),
      ...reject.map(({ receipt, reason }) => ["reject", { receipt, reason: shortened(reason ?? "") }]),
      ...extend.map(({ receipt, lease }) => ["extend", { receipt, lease: optionalNumber(lease) }]),
    ];
    const outcomes = [];
    let stale = null;
    for (let at = 0; at < all.length; at += MAX_RECEIPTS) {
      const document = {};
      for (const [action, item] of all.slice(at, at + MAX_RECEIPTS)) (document[action] ??= []).push(item);
      try {
        outcomes.push(...resultOf(await this.#post("settlements", compact(document), { signal }), outcomesOf));
      } catch (error) {
        if (!(error instanceof Stale)) throw error;
        stale = error;
        outcomes.push(...error.outcomes);
      }
    }
    if (stale === null) return outcomes;
    stale.outcomes = outcomes;
    throw stale;
  }

  /** Go on from another place: `oldest`, `newest`, a Date, an id or a cursor. */
  async seek(to, { partitions, signal } = {}) {
    const body = compact({ to: placeText(to), partitions: partitions?.length ? partitions : undefined });
    // At the end, a repeat would pass over what came in between.
    await this.#post("seek", body, { safe: !isEnd(to), signal });
  }

  /** Take dead letters back, however many calls that takes; resolves to `{ moved, left }`. */
  async redrive({ ids = [], since, until, all = false, signal } = {}) {
    const ways = Number(ids.length > 0) + Number(since !== undefined || until !== undefined) + Number(all);
    if (ways !== 1) throw new TypeError("say which dead letters: ids, a time (since, until), or all: true");
    let moved = 0;
    const left = {};
    for (let at = 0; at < Math.max(ids.length, 1); at += MAX_RECEIPTS) {
      const some = ids.length ? ids.slice(at, at + MAX_RECEIPTS) : undefined;
      let after;
      do {
        const wanted = { ids: some, since: placeText(since), until: placeText(until), all: all || undefined, after };
        const found = resultOf(await this.#post("redrive", compact(wanted), { signal }), (document) => document);
        moved += found.moved;
        for (const [why, number] of Object.entries(found.left ?? {})) left[why] = (left[why] ?? 0) + number;
        after = found.next ?? undefined;
      } while (after !== undefined);
    }
    return { moved, left };
  }

  /** Let a function work on messages, `concurrency` of them at once; `run()` of the result begins. */
  worker(handle, { also = [], ...options } = {}) {
    return new Worker(this.#requests.clock, [this, ...also], handle, options);
  }

  #post(what, body, { signal, ...more }) {
    const headers = { "Content-Type": JSON_TYPE };
    return this.#requests.send({ method: "POST", path: `${this.#path}/${what}`, headers, body, ...more }, signal);
  }
}

/** The receipts of one or several messages, each once. Messages of a group that is at-most-once have none. */
function receiptsOf(deliveries) {
  const all = Array.isArray(deliveries) ? deliveries : [deliveries];
  const found = all
    .map((each) => (typeof each === "string" ? each : each.receipt))
    .filter((receipt) => receipt !== null);
  return [...new Set(found)];
}

/** Cut a reason to what the server takes, between two characters. */
function shortened(reason) {
  const bytes = new TextEncoder().encode(reason);
  if (bytes.length <= MAX_REASON) return reason;
  return new TextDecoder().decode(bytes.subarray(0, MAX_REASON)).replace(/\ufffd+$/, "");
}
