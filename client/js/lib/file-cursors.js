/** Keeps the places of readers in files, in Node.js. Browsers cannot load this module. */

import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { segment } from "./encoding.js";

/** A file for each reader in a folder. It is replaced in one step, and synced. */
export class FileCursors {
  #folder;

  constructor(folder) {
    this.#folder = folder;
  }

  async load(reader) {
    try {
      return (await readFile(this.#file(reader), "utf8")) || null;
    } catch (error) {
      if (error.code === "ENOENT") return null;
      throw error;
    }
  }

  async save(reader, place) {
    const target = this.#file(reader);
    await mkdir(this.#folder, { recursive: true });
    const file = await open(`${target}.new`, "w");
    try {
      await file.writeFile(place);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${target}.new`, target);
    const folder = await open(dirname(target));
    try {
      // So that the new name of the file outlives the loss of power too.
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  #file(reader) {
    return join(this.#folder, segment(reader));
  }
}
