/** Where readers keep their places. */

import type { Place } from "./messages.js";

/** Where readers keep their places. `save` is called when the body of the loop is done with a message. */
export interface Cursors {
  load(reader: string): Place | null | Promise<Place | null>;
  save(reader: string, place: Place): void | Promise<void>;
}

/** Keeps the places of readers in `localStorage`, or another `Storage` of a browser. */
export class StorageCursors implements Cursors {
  constructor(
    storage: { getItem(name: string): string | null; setItem(name: string, value: string): void },
    prefix?: string,
  );
  load(reader: string): Place | null;
  save(reader: string, place: Place): void;
}
