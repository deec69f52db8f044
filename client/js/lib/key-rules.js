/** Which requests get an Idempotency-Key that the client makes. */

/** Claims under a key that a client has in force for a group: the server remembers 256 for each partition. */
const MAX_CLAIM_KEYS = 32;

/** Seconds without keys after a claim that was blocked: other clients have too many. */
const CROWDED = 60;

/** Queues and groups that a client keeps in mind. */
const MAX_PATHS = 1000;

/**
 * What the client has learned about keys, by the path of a queue or a group.
 *
 * Some queues and groups take no keys. For claims the server remembers a limited number of keys until their leases would
 * have ended; a client has a few in force for a group, and claims without a key beyond that.
 */
export class KeyRules {
  #refused = new Set();
  #claims = new Map();

  /** Whether a request to a queue gets a key. */
  wantsKey(path) {
    return !this.#refused.has(path);
  }

  /** Keep in mind that a queue, or a group, takes no keys. */
  refuses(path) {
    this.#refused.add(path);
    forgetOldest(this.#refused);
  }

  /** Whether the next claim of a group gets a key. */
  wantsClaimKey(group, now) {
    if (!this.wantsKey(group)) return false;
    const ends = (this.#claims.get(group) ?? []).filter((until) => until > now);
    if (ends.length) this.#claims.set(group, ends);
    else this.#claims.delete(group);
    return ends.length < MAX_CLAIM_KEYS;
  }

  /** Count a claim that has given messages under a key, until their leases end. */
  claimed(group, until) {
    const ends = this.#claims.get(group) ?? [];
    this.#claims.set(group, [...ends, until].slice(-MAX_CLAIM_KEYS));
    forgetOldest(this.#claims);
  }

  /** A claim was blocked: claim without a key for a while. */
  blocked(group, now) {
    this.#claims.set(group, Array(MAX_CLAIM_KEYS).fill(now + CROWDED));
    forgetOldest(this.#claims);
  }
}

function forgetOldest(collection) {
  if (collection.size > MAX_PATHS) collection.delete(collection.keys().next().value);
}
