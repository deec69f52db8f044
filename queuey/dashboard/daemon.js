// The daemon itself: its checks, its processes, the alerts whose conditions hold, and what can be done with it.

import { cards, h } from "./dom.js";
import { ask } from "./dialog.js";
import { clock, number, span } from "./format.js";

export const title = () => "daemon";
export const calls = () => [{ method: "status" }, { method: "health.report" }];

export function begin(page) {
  page.state = { result: "", busy: false };
}

export async function act(page, name, node) {
  const { state } = page;
  if (name === "drain") {
    const text = "/ready answers 503, so load balancers send no more requests here. It continues to serve.";
    if (await ask({ title: "Drain this front end?", text, action: "Drain" })) await page.call("drain", {}, "This front end is drained.");
  } else if (name === "undrain") {
    await page.call("undrain", {}, "This front end is ready again, if all else is well.");
  } else if (name === "level") {
    await page.call("log.level", { level: node.value }, `The level of the log is ${node.value}.`);
  } else if ((name === "check" || name === "backup") && !state.busy) {
    state.busy = true;
    state.result = "";
    page.draw();
    const found = await page.call(name === "check" ? "store.check" : "store.backup", {});
    state.busy = false;
    if (found && name === "check") state.result = `The store was read: ${found.integrity || "it answers"}.`;
    if (found && name === "backup") state.result = `${number(found.messages)} messages of ${number(found.queues)} queues are in ${found.path}.`;
    page.draw();
  }
}

export function draw(page) {
  const [status, health] = page.answers || [];
  const failed = [status, health].find((answer) => answer?.error);
  if (failed) return [h("h1", {}, "Daemon"), h("p", { class: "error", role: "alert" }, failed.error.message)];
  if (!status || !health) return [h("h1", {}, "Daemon"), h("p", { class: "empty" }, "…")];
  return [
    h("h1", {}, "Daemon"),
    alerts(health.result),
    checks(health.result),
    about(status.result, health.result),
    page.can("operate") ? todo(page, status.result) : null,
  ];
}

function alerts({ alerts: found }) {
  return h(
    "section",
    { class: "card", "aria-labelledby": "alerts" },
    h("h2", { id: "alerts" }, "Alerts"),
    found === null
      ? h("p", { class: "dim" }, "Nothing is counted: [metrics] enabled = false.")
      : found.length
        ? found.map(alert)
        : h("p", {}, "No condition of an alert holds now."),
    h("p", { class: "dim" }, "These are the conditions that can be seen at one moment. Those of rates and of trends need Prometheus."),
  );
}

function alert(one) {
  const what = (value) => [...Object.values(value.labels), number(value.value)].join(" / ");
  return h(
    "div",
    { class: "alert", "data-key": one.alert },
    h("p", {}, h("span", { class: "state dead" }, one.alert), ` ${one.text}`),
    one.values.some((value) => Object.keys(value.labels).length)
      ? h("ul", {}, one.values.map((value) => h("li", {}, what(value))), one.more ? h("li", {}, `and ${one.more} more`) : null)
      : null,
  );
}

function checks({ checks: found }) {
  return h(
    "section",
    { class: "card", "aria-labelledby": "checks" },
    h("h2", { id: "checks" }, "Checks"),
    cards("Checks", ["check", "of", "state", "what was found"], found.map(check)),
  );
}

function check(one) {
  return h(
    "tr",
    { "data-key": `${one.of}/${one.name}` },
    h("th", { scope: "row" }, one.name),
    h("td", { "data-label": "of" }, `/${one.of}`),
    h("td", { "data-label": "state" }, h("span", { class: `state ${one.ok ? "ok" : "dead"}` }, one.ok ? "well" : "fails")),
    h("td", { "data-label": "what was found" }, one.reason),
  );
}

function about(status, health) {
  const workers = health.workers;
  const rows = [
    ["version", status.version],
    ["settings", status.settings],
    ["started", [clock(status.started), `, ${span(status.uptime)} ago`]],
    ["process", status.pid],
    ["workers", workers ? `${workers.accepting} of ${workers.asked} accept connections` : "none: the daemon serves itself"],
    ["store", `${status.backend}: ${status.store}`],
    ["durability", status.durability],
    ["connections", number(status.connections)],
    ["requests under way", number(status.requests)],
    ["drained", status.draining ? "yes" : "no"],
    ["level of the log", status.log_level],
  ];
  return h(
    "section",
    { class: "card", "aria-labelledby": "about" },
    h("h2", { id: "about" }, "About"),
    h("dl", {}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
  );
}

function todo(page, status) {
  const levels = ["debug", "info", "warn", "error"];
  return h(
    "section",
    { class: "card", "aria-labelledby": "todo" },
    h("h2", { id: "todo" }, "To do"),
    h(
      "p",
      { class: "buttons" },
      status.draining
        ? h("button", { type: "button", "data-act": "undrain" }, "Undrain")
        : h("button", { type: "button", "data-act": "drain" }, "Drain…"),
      h("button", { type: "button", "data-act": "check", disabled: page.state.busy }, "Check the store"),
      h("button", { type: "button", "data-act": "backup", disabled: page.state.busy }, "Back up the store"),
      h(
        "label",
        { class: "inline" },
        "level of the log ",
        h("select", { "data-change": "level" }, levels.map((level) => h("option", { value: level, selected: level === status.log_level }, level))),
      ),
    ),
    h("p", { role: "status" }, page.state.busy ? "The store is being read…" : page.state.result),
  );
}
