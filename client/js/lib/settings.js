/** Creates, changes and deletes queues and groups. */

import { JSON_TYPE, PATCH, compact, settingsOf } from "./encoding.js";
import { Changed, NotFound } from "./errors.js";

/**
 * Create a queue or a group, or change single settings of the one that is there. Returns the answer.
 *
 * Programs may do so at the same time: creation is for one of them, and a merge patch leaves what it does not name.
 */
export async function ensure(requests, path, settings, signal) {
  const body = compact(settingsOf(settings));
  const create = { method: "PUT", path, headers: { "Content-Type": JSON_TYPE, "If-None-Match": "*" }, body };
  const change = Object.keys(settings).length
    ? { method: "PATCH", path, headers: { "Content-Type": PATCH }, body }
    : { method: "GET", path };
  for (;;) {
    try {
      return await requests.send(create, signal);
    } catch (error) {
      if (!(error instanceof Changed)) throw error;
    }
    try {
      return await requests.send(change, signal);
    } catch (error) {
      const gone = path.includes("/groups/") ? "no-such-group" : "no-such-queue";
      if (!(error instanceof NotFound) || error.code !== gone) throw error;
      // It was deleted in between.
    }
  }
}

/** Delete a queue or a group. One that an attempt before this one has deleted is no error. */
export async function remove(requests, path, signal) {
  try {
    await requests.send({ method: "DELETE", path }, signal);
  } catch (error) {
    if (!(error instanceof NotFound) || error.attempts === 1) throw error;
  }
}
