/** Where readers are: the places that they keep, and when these are saved. */

/** Seconds after which a place is saved, even if the page goes on. */
const SAVED = 1;

/** Keeps the places of readers in a `Storage` of the browser, such as `localStorage`. */
export class StorageCursors {
  #storage;
  #prefix;

  constructor(storage, prefix = "queuey:") {
    this.#storage = storage;
    this.#prefix = prefix;
  }

  load(reader) {
    return this.#storage.getItem(this.#prefix + reader);
  }

  save(reader, place) {
    this.#storage.setItem(this.#prefix + reader, place);
  }
}

/** Saves the place of a reader: not for each message, but soon. */
export class Bookmark {
  #cursors;
  #reader;
  #now;
  #done = null;
  #saved;

  constructor({ cursors, reader }, now) {
    this.#cursors = cursors;
    this.#reader = reader;
    this.#now = now;
    this.#saved = now();
  }

  async load() {
    return (await this.#cursors?.load(this.#reader)) ?? null;
  }

  /** The body of the loop is done with a message. */
  async done(place) {
    this.#done = place;
    if (this.#now() - this.#saved >= SAVED) await this.save();
  }

  async save() {
    if (this.#done === null) return;
    const place = this.#done;
    this.#done = null;
    this.#saved = this.#now();
    await this.#cursors?.save(this.#reader, place);
  }
}
