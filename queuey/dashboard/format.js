// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
let offset = 0;

/** Learn the time of the daemon, in seconds since 1970: ages are counted by its clock. */
export function setClock(at) {
  offset = at - Date.now() / 1000;
}

export const now = () => Date.now() / 1000 + offset;
export const seconds = (text) => Date.parse(text) / 1000;
export const number = (value) => (value === null || value === undefined ? "–" : whole.format(value));

/** A rate, in messages a second. */
export function rate(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.1) return "< 0.1/s";
  return `${value < 10 ? short.format(value) : whole.format(value)}/s`;
}

/** A number of bytes. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at ? short.format(value) : value} ${units[at]}`;
}

/** A span of time in seconds, by its two largest units. */
export function span(value) {
  const all = Math.max(0, Math.round(value));
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => all >= size);
  if (first < 0) return "0 s";
  const [name, size] = units[first];
  const count = Math.floor(all / size);
  if (first === units.length - 1 || count >= 10) return `${count} ${name}`;
  const [other, part] = units[first + 1];
  const rest = Math.floor((all - count * size) / part);
  return rest ? `${count} ${name} ${rest} ${other}` : `${count} ${name}`;
}

/** A time of the daemon as the person's clock shows it. */
export const clock = (text) => (text ? new Date(text).toLocaleString() : "–");
