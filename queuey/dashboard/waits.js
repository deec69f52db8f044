// Who waits, and how far behind the slowest live reader is.

import { cards, h, numeric } from "./dom.js";
import { number, span } from "./format.js";

export const title = () => "waits and streams";
export const calls = () => [{ method: "live.list" }];

const SCOPES = {
  "front-end": "These are the clients of this front end alone.",
  process: "These are the clients of this process alone, without its workers.",
};

export function draw(page) {
  const answer = page.answers?.[0];
  return [
    h("h1", {}, "Waits and streams"),
    h("section", { class: "card", "aria-label": "Waits and streams" }, !answer ? h("p", { class: "empty" }, "…") : body(answer)),
  ];
}

function body({ error, result }) {
  if (error) return h("p", { class: "error", role: "alert" }, error.message);
  const note = SCOPES[result.scope] ? h("p", { class: "dim" }, SCOPES[result.scope]) : null;
  if (!result.applications.length) return [note, h("p", { class: "empty" }, "No client waits, and no live read is open.")];
  const heads = ["application", "waiting reads", "waiting claims", "live reads", "slowest live read", "limit of waits", "limit of live reads"];
  return [
    note,
    cards(
      "Clients that wait, by application",
      [heads[0], ...heads.slice(1).map(numeric)],
      result.applications.map((one) => row(one, heads)),
    ),
  ];
}

function row(one, heads) {
  const slowest = one.slowest ? `${one.slowest.queue ?? "many queues"}, ${one.slowest.seconds < 1 ? "< 1 s" : span(one.slowest.seconds)} behind` : "–";
  const cells = [one.reads, one.claims, one.streams].map(number);
  cells.push(slowest, one.max_waits === null ? "none" : number(one.max_waits), one.max_live === null ? "none" : number(one.max_live));
  return h(
    "tr",
    { "data-key": one.application },
    h("th", { scope: "row" }, one.application),
    cells.map((text, at) => h("td", { class: "num", "data-label": heads[at + 1] }, text)),
  );
}
