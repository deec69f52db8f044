/** Creates, changes and deletes queues, groups, pushes and schedules. */

import { JSON_TYPE, PATCH, compact, settingsOf } from "./encoding.js";
import { Changed, NotFound } from "./errors.js";

/**
 * Create a queue, a group, a push or a schedule, or change single settings of the one that is there. Returns the answer.
 *
 * Programs may do so at the same time: creation is for one of them, and a merge patch leaves what it does not name.
 *
 * @param needed settings without which it cannot be created, so that it has to be there.
 */
export async function ensure(requests, path, settings, signal, needed = []) {
  const complete = needed.every((name) => settings[name] !== undefined && settings[name] !== null);
  const body = compact(settingsOf(settings));
  const create = { method: "PUT", path, headers: { "Content-Type": JSON_TYPE, "If-None-Match": "*" }, body };
  const change = Object.keys(settings).length
    ? { method: "PATCH", path, headers: { "Content-Type": PATCH }, body }
    : { method: "GET", path };
  for (;;) {
    try {
      if (complete) return await requests.send(create, signal);
    } catch (error) {
      if (!(error instanceof Changed)) throw error;
    }
    try {
      return await requests.send(change, signal);
    } catch (error) {
      if (!complete || !(error instanceof NotFound) || error.code !== absence(path)) throw error;
      // It was deleted in between.
    }
  }
}

/** The code of an error that says that what the path names is not there. */
function absence(path) {
  if (path.includes("/pushes/")) return "no-such-push";
  if (path.includes("/schedules/")) return "no-such-schedule";
  return path.includes("/groups/") ? "no-such-group" : "no-such-queue";
}

/** Delete a queue, or what belongs to it. What an attempt before this one has deleted is no error. */
export async function remove(requests, path, signal) {
  try {
    await requests.send({ method: "DELETE", path }, signal);
  } catch (error) {
    if (!(error instanceof NotFound) || error.attempts === 1) throw error;
  }
}
