/** Many queues of an application: a page of them, readers that follow, and claims of several groups. */

import { deliveriesOf, manyPageOf, resultOf } from "./answers.js";
import { claim } from "./claims.js";
import { JSON_TYPE, compact, plainNumber, placeText, query, segment } from "./encoding.js";
import { isLost, outcomesOf } from "./errors.js";
import { LiveRead } from "./live-read.js";
import { checkReader, following } from "./reading.js";
import { choiceLine, signedUrl } from "./signing.js";

/** Names that the query of a URL may have. */
const MAX_NAMES_IN_QUERY = 100;

/** Queues that are chosen by name, and by what their names begin with. Messages come in one order, with one place. */
export class QueueChoice {
  #requests;

  constructor(requests, queues = [], prefix = []) {
    if (typeof queues === "string") throw new TypeError("queues is a list of names, not text");
    this.queues = Array.from(queues);
    this.prefixes = typeof prefix === "string" ? [prefix] : Array.from(prefix);
    if (!this.queues.length && !this.prefixes.length)
      throw new TypeError("no queue is chosen: give queues, or a prefix");
    this.#requests = requests;
  }

  /** Read a page. It changes nothing, so it may be sent again. */
  async read({ wait = 0, signal, ...options } = {}) {
    const body = this.#body(options, { wait: wait ? plainNumber(wait) : undefined });
    const answer = await this.#requests.send(this.#call("/reads", body, wait), signal);
    return resultOf(answer, manyPageOf);
  }

  /** Give messages from a start on, and then those that come, also of queues that are created meanwhile. */
  follow(options = {}) {
    checkReader(options);
    const requests = this.#requests;
    const at = (read, { end: start, ...from }) => ({ ...read, ...from, start });
    const source = {
      name: null,
      liveRead: (read, start, idle, onGap) => {
        const callOf = (from) => this.#call("/events", this.#body(at(read, from)));
        // A gap of one queue comes before messages of others, so its error would lose these: pages have it after them.
        return new LiveRead(requests, null, callOf, start, idle, { ...read, handsGapsOver: onGap === "raise" });
      },
      page: (read, start, wait) => this.read({ ...at(read, start), wait }),
    };
    return following(source, options, requests.clock);
  }

  #call(path, body, wait = 0) {
    return { method: "POST", path, headers: { "Content-Type": JSON_TYPE }, body, wait };
  }

  #body({ after, since, start, limit, maxBytes, fresh }, more = {}) {
    const placed = (after ?? null) !== null;
    const from = placed ? { after } : since === undefined ? { start: start ?? "newest" } : { since: placeText(since) };
    return compact({
      queues: this.queues.length ? this.queues : undefined,
      prefixes: this.prefixes.length ? this.prefixes : undefined,
      ...from,
      limit,
      max_bytes: maxBytes,
      fresh: fresh ? true : undefined,
      ...more,
    });
  }
}

/**
 * Take messages of the first of several groups that has some; `groups` are pairs of a queue and a group, by name. `ack`
 * are messages of these groups, which are acked by the same request.
 */
export async function claimMany(requests, groups, limit, { order = "strict", ack = [], ...options }) {
  if (!groups.length) throw new TypeError("no group is given");
  const from = sourcesOf(groups, ack);
  const place = `/claims ${JSON.stringify(groups)}`;
  const parse = (document) => {
    const outcomes = new Map(outcomesOf(document));
    for (const each of ack) if (isLost(outcomes.get(each.receipt))) each.lost = true;
    return deliveriesOf(document.queue, document.group, document);
  };
  return claim(requests, "/claims", place, { from, order }, { limit, ...options }, parse);
}

function sourcesOf(groups, ack) {
  const sources = groups.map(([queue, group]) => ({ queue, group }));
  for (const { queue, group, receipt } of ack) {
    const source = sources.find((each) => each.queue === queue && each.group === group);
    if (!source) throw new TypeError(`a message of ${queue}/${group} is acked, and groups do not have it`);
    if (receipt !== null) (source.settle ??= { ack: [] }).ack.push(receipt);
  }
  return sources;
}

/** Return a URL that lets others read many queues for this number of seconds, also with an EventSource. */
export async function signedUrlOfMany(requests, { queues, prefixes }, seconds, rate) {
  if (queues.length > MAX_NAMES_IN_QUERY)
    throw new TypeError(`${queues.length} names are more than the ${MAX_NAMES_IN_QUERY} of a URL`);
  const { application, credentials, endpoints, clock } = requests;
  const key = await credentials.applicationKey();
  const base = `${endpoints.first}/v2/${segment(application)}/events`;
  const choice = query({ queue: queues, prefix: prefixes });
  const line = choiceLine(queues, prefixes);
  return signedUrl(base, key, application, line, ["read"], seconds, rate, clock.unixTime(), choice);
}
