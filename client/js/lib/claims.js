/** Claims: messages under a lease, of a group or of the first of several that has some. */

import { resultOf } from "./answers.js";
import { JSON_TYPE, compact, keyHeader, newKey, optionalNumber, plainNumber } from "./encoding.js";
import { Invalid } from "./errors.js";

/**
 * Take messages, with a key: an answer that is lost loses no time.
 *
 * @param path of the claims, below the application.
 * @param place the group, or the groups, of which it is kept in mind how many claims under a key are in force.
 * @param asked members of the body besides those of `options`.
 * @param parse makes the messages of an answer's document.
 */
export async function claim(requests, path, place, asked, options, parse) {
  const { limit, lease, wait = 20, maxBytes, signal } = options;
  const { keyRules, clock } = requests;
  const members = { limit, wait: plainNumber(wait), lease: optionalNumber(lease), max_bytes: maxBytes };
  const body = compact({ ...members, ...asked });
  const began = clock.now();
  let key = keyRules.wantsClaimKey(place, began) ? newKey() : null;
  const send = () => {
    const headers = { "Content-Type": JSON_TYPE, ...keyHeader(key) };
    return requests.send({ method: "POST", path, headers, body, safe: Boolean(key), wait }, signal);
  };
  let answer;
  try {
    answer = await send();
  } catch (error) {
    const refused = error instanceof Invalid && error.errors.some((each) => each.parameter === "Idempotency-Key");
    if (!key || !refused) throw error;
    // The group is at-most-once: it takes no keys, and what is lost is lost.
    key = null;
    answer = await send();
    keyRules.refuses(place);
  }
  const [messages, blocked] = resultOf(answer, (document) => [parse(document), "blocked" in document]);
  if (key && messages.length) keyRules.claimed(place, began + messages[0].lease);
  else if (key && blocked) keyRules.blocked(place, clock.now());
  return messages;
}
