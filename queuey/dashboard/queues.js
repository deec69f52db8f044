// The list of queues: the busiest, or a page of the listing by name. The store is never asked for all of them.

import { cards, h } from "./dom.js";
import { chart } from "./chart.js";
import { bytes, now, number, rate, seconds } from "./format.js";
import { call } from "./rpc.js";

const LIMIT = 50;
const BEHIND = 900;
/** Seconds after which messages that no consumer takes are shown, though another group gets messages of the queue. */
const UNREAD = 10;
const SORTS = [
  ["stored", "busiest: stored"], ["given", "busiest: sent"], ["acked", "busiest: acknowledged"], ["name", "name"],
];

export const title = () => "queues";

export function begin(page) {
  page.state = { sort: "stored", application: "", prefix: "", after: [], rows: null, show: "all", applications: [] };
  call("applications.list").then(
    ({ applications }) => {
      page.state.applications = applications.map(({ name }) => name);
      page.draw();
    },
    () => {},
  );
}

export function calls({ state }) {
  const params = { sort: state.sort, limit: LIMIT, history: true };
  if (state.application) params.application = state.application;
  if (state.prefix) params.prefix = state.prefix;
  if (state.after.length) params.after = state.after[state.after.length - 1];
  return [{ method: "queues.report", params }];
}

export function act(page, name, node) {
  const { state } = page;
  if (name === "filter") {
    Object.assign(state, { [node.name]: node.value, after: [] });
    clearTimeout(state.timer);
    state.timer = setTimeout(() => page.follow(), node.tagName === "SELECT" ? 0 : 250);
  } else if (name === "show") {
    state.show = node.value;
    page.draw();
  } else if (name === "rows") {
    state.rows = state.rows === node.value ? null : node.value;
    page.draw();
  } else if (name === "next") {
    state.after.push(node.value);
    page.follow();
  } else if (name === "first") {
    state.after = [];
    page.follow();
  }
}

export function draw(page) {
  const answer = page.answers?.[0];
  if (!answer) return [h("h1", {}, "Queues"), h("p", { class: "empty" }, "…")];
  if (answer.error) return [h("h1", {}, "Queues"), filters(page, null), h("p", { class: "error", role: "alert" }, answer.error.message)];
  const report = answer.result;
  return [
    h("h1", {}, "Queues"),
    h(
      "section",
      { class: "card", "aria-label": "All queues together" },
      h(
        "div",
        { class: "tiles" },
        tile(rate(report.total?.stored), "stored"),
        tile(rate(report.total?.given), "sent"),
        tile(rate(report.total?.acked), "acknowledged"),
        tile(number(report.kept), "queues in use lately"),
      ),
      chart("total", report.total?.history, report.span, "Messages a second in all queues"),
      report.scope === "front-end"
        ? h("p", { class: "dim" }, "These are the rates of this front end; others have rates of their own.")
        : null,
    ),
    h("section", { class: "card", "aria-label": "Queues" }, filters(page, report), table(page, report), pager(page, report)),
  ];
}

const tile = (value, name) => h("div", {}, h("b", {}, value), h("span", {}, name));

function filters(page, report) {
  const { state } = page;
  const option = (value, text, chosen) => h("option", { value, selected: chosen === value }, text);
  return h(
    "form",
    { class: "filters", role: "search", "data-act": "nothing" },
    h(
      "label",
      {},
      "application",
      h(
        "select",
        { name: "application", "data-change": "filter" },
        option("", "all", state.application),
        state.applications.map((name) => option(name, name, state.application)),
      ),
    ),
    h("label", {}, "name begins with", h("input", { name: "prefix", size: "14", autocomplete: "off", "data-input": "filter" })),
    h("label", {}, "order", h("select", { name: "sort", "data-change": "filter" }, SORTS.map(([v, t]) => option(v, t, state.sort)))),
    h(
      "label",
      {},
      "show",
      h(
        "select",
        { "data-change": "show" },
        option("all", "all", state.show),
        option("behind", "behind, or not consumed", state.show),
        option("dead", "with dead letters", state.show),
      ),
    ),
    h("span", { class: "dim" }, report ? about(page, report) : ""),
  );
}

function about({ state }, report) {
  const what = state.sort === "name" ? "by name" : "busiest first, then by name";
  return `${shownOf(state, report).length} queues, ${what}`;
}

/** Whether a group has messages for consumers, and none takes them: nothing is in work, and either nothing is sent from
 * the queue, or (to another group) something is, and a message has waited for ten seconds. */
function isUnread(group, queue) {
  if (!(group.behind > group.waiting) || group.in_flight > 0) return false;
  return !(queue.rates?.given > 0) || (group.oldest && now() - seconds(group.oldest) > UNREAD);
}

/** What is wrong with a queue, and how that is shown. */
export function stateOf(queue) {
  if (queue.closed) return ["closed", "idle"];
  const groups = queue.groups || [];
  if (groups.some((group) => group.set_aside > 0)) return ["set aside", "dead"];
  const late = groups.some((group) => group.behind > 0 && group.oldest && now() - seconds(group.oldest) > BEHIND);
  if (late || groups.some((group) => group.behind >= 1000)) return ["falls behind", "behind"];
  if (groups.some((group) => isUnread(group, queue))) return ["not consumed", "behind"];
  if (queue.growing) return ["falls behind", "behind"];
  const moves = queue.rates && (queue.rates.stored > 0 || queue.rates.given > 0);
  if (groups.length && queue.groups.some((group) => group.behind === null)) return ["not known", "idle"];
  return moves ? [groups.length ? "keeps up" : "active", "ok"] : ["idle", "idle"];
}

function shownOf(state, report) {
  let rows = report.queues;
  if (state.show === "behind") rows = rows.filter((one) => stateOf(one)[1] === "behind");
  if (state.show === "dead") rows = rows.filter((one) => stateOf(one)[1] === "dead" || one.groups?.some((g) => g.dead_letter));
  if (state.rows === "messages") rows = [...rows].sort((one, other) => (other.messages ?? -1) - (one.messages ?? -1));
  if (state.rows === "oldest") {
    const age = (one) => (one.oldest ? seconds(one.oldest) : Infinity);
    rows = [...rows].sort((one, other) => age(one) - age(other));
  }
  return rows;
}

function table(page, report) {
  const { state } = page;
  const rows = shownOf(state, report);
  if (!rows.length) return h("p", { class: "empty" }, "There is no such queue.");
  const sorted = (name, text) =>
    h(
      "th",
      { scope: "col", class: "num", "aria-sort": state.rows === name ? "descending" : null },
      h("button", { type: "button", "data-act": "rows", value: name, title: "Sort the rows that are shown" }, text),
    );
  const heads = ["queue", sorted("messages", "messages"), sorted("oldest", "oldest"), "stored", "sent", "groups, behind", "state"];
  return cards("Queues", heads, rows.map(row));
}

export const linkTo = (...path) => `#/${path.map(encodeURIComponent).join("/")}`;

function row(queue) {
  const key = `${queue.application}/${queue.name}`;
  const [text, kind] = stateOf(queue);
  const parts = queue.partitions === 1 ? "1 partition" : `${queue.partitions} partitions`;
  return h(
    "tr",
    { "data-key": key },
    h(
      "th",
      { scope: "row" },
      h("a", { href: linkTo("queue", queue.application, queue.name) }, queue.name),
      h("small", {}, [queue.application, queue.guarantee, parts].filter(Boolean).join(" · ")),
    ),
    h("td", { class: "num", "data-label": "messages" }, `${queue.approximate ? "≈ " : ""}${number(queue.messages)}`, h("small", {}, bytes(queue.bytes))),
    h("td", { class: "num", "data-label": "oldest" }, queue.oldest ? h("q-age", { time: queue.oldest }) : "–"),
    h("td", { class: "spark", "data-label": "stored" }, spark(queue, "stored", "stored in")),
    h("td", { class: "spark sent", "data-label": "sent" }, spark(queue, "given", "sent from")),
    h("td", { "data-label": "groups, behind" }, groupsOf(queue)),
    h("td", { "data-label": "state" }, h("span", { class: `state ${kind}` }, text)),
  );
}

function spark(queue, kind, words) {
  return h(
    "div",
    {},
    queue.history ? h("q-spark", { values: queue.history[kind].join(" "), label: `${words} ${queue.name}` }) : null,
    h("span", { class: "rate" }, rate(queue.rates?.[kind] ?? 0)),
  );
}

export const behind = (group) => (group.behind === null ? "?" : `${group.exact ? "" : "≥ "}${number(group.behind)}`);

function groupsOf(queue) {
  if (queue.groups === null) return "not known";
  if (!queue.groups.length) return "–";
  const rows = queue.groups.slice(0, 3).map((group) => h("div", {}, `${group.name} ${behind(group)}`));
  return queue.groups.length > 3 || queue.more_groups ? [...rows, h("div", { class: "dim" }, "and more")] : rows;
}

function pager({ state }, report) {
  return h(
    "p",
    { class: "buttons" },
    h("button", { type: "button", "data-act": "first", disabled: !state.after.length }, "First page"),
    h("button", { type: "button", "data-act": "next", value: report.next || "", disabled: !report.next }, "Next page"),
  );
}
