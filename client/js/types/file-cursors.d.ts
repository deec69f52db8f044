import type { Cursors } from "./cursors.js";
import type { Place } from "./messages.js";

/** Keeps the places of readers in files: one for each reader, replaced in one step, and synced. For Node.js. */
export class FileCursors implements Cursors {
  constructor(folder: string);
  load(reader: string): Promise<Place | null>;
  /** Keep the place of a reader; it is on the disk when this resolves. */
  save(reader: string, place: Place): Promise<void>;
}
