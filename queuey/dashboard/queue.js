// One queue: its settings, its groups with their lag by partition, its schedules, and its messages.

import { h, valuesOf } from "./dom.js";
import { ask } from "./dialog.js";
import { chart } from "./chart.js";
import { bytes, clock, number, rate } from "./format.js";
import * as pushes from "./pushes.js";
import { linkTo } from "./queues.js";
import { call } from "./rpc.js";
import * as schedules from "./schedules.js";

// Groups of one page: the stream of numbers repeats a call for each.
const GROUPS = 4;

export const title = ({ path }) => `${path[1]} / ${path[2]}`;

export function begin(page) {
  const [, application, name] = page.path;
  page.state = { application, name, groups: null, first: 0, messages: null, next: null, asked: null, busy: false };
  pushes.list(page);
  showGroups(page, 0);
  schedules.list(page);
}

/** Find the groups that there are now, and follow those of one page. */
async function showGroups(page, first) {
  const { state } = page;
  let found;
  try {
    found = await call("groups.list", { application: state.application, queue: state.name });
  } catch {
    return; // the stream says why
  }
  state.groups = found.map((group) => group.name);
  const last = Math.floor(Math.max(0, state.groups.length - 1) / GROUPS) * GROUPS;
  state.first = Math.min(Math.max(0, first), last);
  page.draw();
  if (state.groups.length) page.follow();
}

const shownGroups = ({ groups, first }) => (groups || []).slice(first, first + GROUPS);

export function calls({ state }) {
  const { application, name } = state;
  return [
    { method: "queues.report", params: { application, prefix: name, sort: "name", limit: 1, history: true } },
    ...shownGroups(state).map((group) => ({ method: "groups.describe", params: { application, queue: name, group } })),
  ];
}

export async function act(page, name, node) {
  const { state } = page;
  const about = { application: state.application, queue: state.name };
  if (await pushes.act(page, name, node)) return;
  if (name === "peek") {
    const { from, time, partition, limit, ids } = valuesOf(node);
    state.asked = { ...about, limit: Number(limit || 10), newest_first: from !== "oldest" && from !== "time" };
    if (ids) state.asked.ids = ids.split(/[\s,]+/).filter(Boolean);
    else state.asked.from = from === "time" ? new Date(time || 0).toISOString() : from;
    if (ids) delete state.asked.newest_first;
    if (partition) state.asked.partition = Number(partition);
    await look(page, {});
  } else if (name === "schedules") {
    await schedules.list(page);
  } else if (name === "pause-schedule" || name === "resume-schedule") {
    await schedules.setPaused(page, node.value, name === "pause-schedule");
  } else if (name === "more") {
    await look(page, { after: state.next });
  } else if (name === "groups-before" || name === "groups-after") {
    await showGroups(page, state.first + (name === "groups-after" ? GROUPS : -GROUPS));
  } else if (name === "purge") {
    const text = "All messages that readers can see are deleted, for every group. This cannot be undone.";
    if (await ask({ title: `Purge ${state.name}?`, text, word: state.name, action: "Purge", danger: true })) {
      await page.call("queues.purge", about, `${state.name} was purged.`);
    }
  } else if (name === "remove") {
    const text = "The queue, its messages and its groups are deleted. This cannot be undone.";
    if (await ask({ title: `Remove ${state.name}?`, text, word: state.name, action: "Remove", danger: true })) {
      if (await page.call("queues.remove", about, `${state.name} was removed.`)) location.hash = "#/queues";
    }
  }
}

async function look(page, more) {
  const { state } = page;
  if (state.busy) return;
  state.busy = true;
  try {
    const found = await page.call("messages.peek", { ...state.asked, ...more });
    if (!found) return;
    state.messages = more.after ? [...state.messages, ...found.messages] : found.messages;
    state.next = found.next;
  } finally {
    state.busy = false;
    page.draw();
  }
}

export function draw(page) {
  const { state } = page;
  const head = [
    h("p", { class: "crumbs" }, h("a", { href: "#/queues" }, "Queues"), ` / ${state.application}`),
    h("h1", {}, state.name),
  ];
  const answer = page.answers?.[0];
  if (!answer) return [...head, h("p", { class: "empty" }, "…")];
  if (answer.error) return [...head, h("p", { class: "error", role: "alert" }, answer.error.message)];
  const queue = answer.result.queues.find((one) => one.name === state.name);
  if (!queue) return [...head, h("p", { class: "error", role: "alert" }, "There is no such queue.")];
  return [
    ...head,
    h(
      "section",
      { class: "card", "aria-label": "Numbers" },
      h(
        "div",
        { class: "tiles" },
        tile(`${queue.approximate ? "≈ " : ""}${number(queue.messages)}`, `messages, ${bytes(queue.bytes)}`),
        tile(queue.oldest ? h("q-age", { time: queue.oldest }) : "–", "age of the oldest"),
        tile(rate(queue.rates?.stored ?? 0), "stored"),
        tile(rate(queue.rates?.given ?? 0), "sent"),
        tile(rate(queue.rates?.acked ?? 0), "acknowledged"),
      ),
      queue.history
        ? chart("queue", queue.history, answer.result.span, `Messages a second in ${queue.name}`)
        : h("p", { class: "empty" }, "Nothing was stored or sent in the last ten minutes."),
    ),
    pushes.draw(page),
    groups(page),
    schedules.draw(page),
    messages(page),
    settings(page, queue),
  ];
}

const tile = (value, name) => h("div", {}, h("b", {}, value), h("span", {}, name));

function groups(page) {
  const { state } = page;
  const names = shownGroups(state);
  const results = (page.answers || []).slice(1).map((answer) => answer?.result);
  const found = results.filter((result) => result && names.includes(result.name));
  const none = state.groups && !names.length ? "This queue has no group." : "…";
  return h(
    "section",
    { class: "card", "aria-labelledby": "groups" },
    h("h2", { id: "groups" }, "Consumer groups"),
    found.length ? found.map((group) => groupOf(state, group)) : h("p", { class: "empty" }, none),
    state.groups?.length > GROUPS ? groupsPager(state, names.length) : null,
  );
}

function groupsPager({ groups: all, first }, shown) {
  const button = (act, text, disabled) => h("button", { type: "button", "data-act": act, disabled }, text);
  return h(
    "p",
    { class: "buttons", role: "group", "aria-label": "Pages of consumer groups" },
    button("groups-before", "Groups before", first === 0),
    button("groups-after", "Groups after", first + GROUPS >= all.length),
    h("span", { class: "dim", role: "status" }, `Groups ${first + 1} to ${first + shown} of ${all.length}, by name`),
  );
}

function groupOf(state, group) {
  const sum = (name) => group.partitions.reduce((total, one) => total + one[name], 0);
  const exact = group.partitions.every((one) => one.exact);
  return h(
    "div",
    { class: "group", "data-key": group.name },
    h(
      "h3",
      {},
      `${group.name}: ${exact ? "" : "≥ "}${number(sum("behind"))} behind`,
      h("a", { class: "aside", href: linkTo("dead", state.application, state.name, group.name) }, `dead letters of ${group.name}`),
    ),
    h(
      "p",
      { class: "dim" },
      [
        `lease ${group.lease} s`,
        group.max_deliveries ? `${group.max_deliveries} deliveries` : null,
        group.dead_letter ? `dead letters to ${group.dead_letter}` : "no dead-letter queue",
        `order ${group.order}`,
        group.guarantee,
      ].filter(Boolean).join(" · "),
    ),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": `Lag of ${group.name} by partition` },
      h(
        "table",
        { class: "plain" },
        h(
          "thead",
          {},
          h("tr", {}, ["partition", "behind", "in flight", "waiting", "set aside", "oldest"].map((text) => h("th", { scope: "col", class: "num" }, text))),
        ),
        h(
          "tbody",
          {},
          group.partitions.map((lag) =>
            h(
              "tr",
              {},
              h("th", { scope: "row", class: "num" }, lag.partition),
              h("td", { class: "num" }, `${lag.exact ? "" : "≥ "}${number(lag.behind)}`),
              ["in_flight", "waiting", "set_aside"].map((name) => h("td", { class: "num" }, number(lag[name]))),
              h("td", { class: "num" }, lag.oldest ? h("q-age", { time: lag.oldest }) : "–"),
            ),
          ),
        ),
      ),
    ),
  );
}

function messages(page) {
  const { state } = page;
  const heading = h("h2", { id: "messages" }, "Messages");
  if (!page.can("peek")) {
    return h("section", { class: "card", "aria-labelledby": "messages" }, heading, h("p", { class: "dim" }, "This token may not see messages."));
  }
  return h(
    "section",
    { class: "card", "aria-labelledby": "messages" },
    heading,
    h(
      "form",
      { class: "filters", "data-act": "peek" },
      h(
        "label",
        {},
        "from",
        h("select", { name: "from" }, [["newest", "newest"], ["oldest", "oldest"], ["time", "a time"]].map(([v, t]) => h("option", { value: v }, t))),
      ),
      h("label", {}, "time", h("input", { name: "time", type: "datetime-local", step: "1" })),
      h("label", {}, "ids", h("input", { name: "ids", size: "14", autocomplete: "off", placeholder: "instead of a place" })),
      h("label", {}, "partition", h("input", { name: "partition", type: "number", min: "1", size: "4", placeholder: "all" })),
      h("label", {}, "messages", h("input", { name: "limit", type: "number", min: "1", max: "100", value: "10" })),
      h("button", { class: "primary" }, "Peek"),
    ),
    h("p", { class: "dim" }, "A peek takes nothing and moves no group. The log has who looked at which messages."),
    state.messages === null ? null : state.messages.length || state.next ? state.messages.map(message) : h("p", { class: "empty" }, "There is no message."),
    state.next ? h("button", { type: "button", "data-act": "more" }, "More") : null,
  );
}

function message(one) {
  const body = one.encoding === "base64" ? `(base64) ${one.body}` : one.body;
  const headers = Object.entries(one.headers || {});
  return h(
    "article",
    { class: "message", "data-key": one.id, "aria-label": `Message ${one.id}` },
    h(
      "dl",
      {},
      pair("id", one.id),
      pair("stored", [clock(one.stored), ", ", h("q-age", { time: one.stored }), " ago"]),
      one.expires ? pair("expires", clock(one.expires)) : null,
      pair("type", `${one.type || "none"}, ${bytes(one.bytes)}${one.partition ? `, partition ${one.partition}` : ""}`),
      headers.map(([name, value]) => pair(name, value)),
    ),
    h("pre", { tabindex: "0", "aria-label": `Body of ${one.id}` }, body),
    one.cut ? h("p", { class: "dim" }, `The first part of ${bytes(one.bytes)}.`) : null,
  );
}

const pair = (name, value) => [h("dt", {}, name), h("dd", {}, value)];

function settings(page, queue) {
  return h(
    "section",
    { class: "card", "aria-labelledby": "settings" },
    h("h2", { id: "settings" }, "Settings"),
    h(
      "dl",
      {},
      pair("type", queue.type),
      pair("partitions", queue.partitions),
      pair("consistency", queue.consistency),
      pair("guarantee", queue.guarantee || "that of the application"),
      pair("time to live", queue.ttl ? `${number(queue.ttl)} s` : "that of the application"),
      pair("created", clock(queue.created)),
      pair("closed", queue.closed ? "yes" : "no"),
    ),
    page.can("operate")
      ? h(
          "p",
          { class: "buttons" },
          h("button", { type: "button", class: "danger", "data-act": "purge" }, "Purge…"),
          h("button", { type: "button", class: "danger", "data-act": "remove" }, "Remove…"),
        )
      : null,
  );
}
