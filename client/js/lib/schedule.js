/** The calls of a schedule. */

import { resultOf, scheduleInfo } from "./answers.js";
import { segment } from "./encoding.js";
import { Draft, batchMember } from "./messages.js";
import { ensure, remove } from "./settings.js";

/** A schedule of a queue: the server posts a message at the times of a cron expression. */
export class Schedule {
  #requests;
  #path;

  constructor(requests, queue, name) {
    this.name = name;
    this.queue = queue;
    this.#requests = requests;
    this.#path = `/queues/${segment(queue)}/schedules/${segment(name)}`;
  }

  /**
   * Create the schedule, or give it these settings and leave its others.
   *
   * The message is a `Draft`, or an object as in a batch of the v2 API; it replaces the one before as a whole.
   */
  async ensure(settings = {}, { signal } = {}) {
    const { message } = settings;
    const given = message instanceof Draft ? { ...settings, message: batchMember(message) } : settings;
    return resultOf(await ensure(this.#requests, this.#path, given, signal, ["cron", "message"]), scheduleInfo);
  }

  /** The settings of the schedule, and what it does. */
  async info({ signal } = {}) {
    return resultOf(await this.#send("GET", "", signal), scheduleInfo);
  }

  /** Let it post nothing more. */
  async pause({ signal } = {}) {
    return resultOf(await this.#send("POST", "/pause", signal), scheduleInfo);
  }

  /** Let it go on with its next time. */
  async resume({ signal } = {}) {
    return resultOf(await this.#send("POST", "/resume", signal), scheduleInfo);
  }

  /** Delete the schedule; the messages that it has posted stay. */
  async remove({ signal } = {}) {
    await remove(this.#requests, this.#path, signal);
  }

  #send(method, what, signal) {
    return this.#requests.send({ method, path: `${this.#path}${what}` }, signal);
  }
}
