/** The servers of a deployment, and the credentials that they are shown. */

/** Seconds for which a server that did not answer is left alone while there are others. */
const AVOIDED = 5;

/** The servers of a deployment. Each request takes the next one that did not fail lately. */
export class Endpoints {
  #avoidedUntil = new Map();
  #turn = 0;

  constructor(urls) {
    for (const text of urls) {
      const url = new URL(text);
      if (!/^https?:$/.test(url.protocol) || url.search || url.hash || url.username || url.password) {
        throw new TypeError(`${text} is no URL of a server: http:// or https://, a host, a port and a path`);
      }
      this.#avoidedUntil.set(url.href.replace(/\/+$/, ""), 0);
    }
    if (!this.#avoidedUntil.size) throw new TypeError("there is no URL of a server");
  }

  get first() {
    return this.#avoidedUntil.keys().next().value;
  }

  /** The next one; the one that failed longest ago if all did. */
  pick(now) {
    const all = [...this.#avoidedUntil.keys()];
    const turn = this.#turn++ % all.length;
    const inTurn = [...all.slice(turn), ...all.slice(0, turn)];
    const until = (url) => Math.max(this.#avoidedUntil.get(url), now);
    return inTurn.reduce((best, url) => (until(url) < until(best) ? url : best));
  }

  failed(url, now) {
    this.#avoidedUntil.set(url, now + AVOIDED);
  }
}

/** The application's key, the user's token, or both. A function is called once, and again after a 401. */
export class Credentials {
  #sources;
  #known = new Map();

  constructor(key, token) {
    this.#sources = Object.entries({ Application: key, Bearer: token }).filter(([, source]) => source);
  }

  /** Whether asking again may bring another one. */
  get renewable() {
    return this.#sources.some(([, source]) => typeof source === "function");
  }

  forget() {
    this.#known.clear();
  }

  async applicationKey() {
    const found = this.#sources.find(([word]) => word === "Application");
    if (!found) throw new TypeError("this needs the application's key");
    return this.#secret(...found);
  }

  async headers() {
    const shown = [];
    for (const [word, source] of this.#sources) shown.push(`${word} ${await this.#secret(word, source)}`);
    return shown.length ? { Authorization: shown.join("; ") } : {};
  }

  async #secret(word, source) {
    if (typeof source !== "function") return source;
    if (!this.#known.has(word)) this.#known.set(word, await source());
    return this.#known.get(word);
  }
}
