// The pushes of a queue: what each does, its last attempts, and pause and resume.

import { cards, h } from "./dom.js";
import { clock, number } from "./format.js";
import { call } from "./rpc.js";

const MAX = 100;
const HEADS = ["push", "endpoint", "state", "failures", "last error", ""];
const ATTEMPTS = ["time", "message", "delivery", "status", "ms", "error"];

/** Ask for the pushes of the queue of a page; the page is drawn when they are known. */
export async function list(page) {
  const { application, name } = page.state;
  let found;
  try {
    found = await call("pushes.list", { application, queue: name, limit: MAX });
  } catch {
    return;
  }
  page.state.pushes = found.pushes;
  page.draw();
}

/** Do what a button of this section asks for; return whether it is one of them. */
export async function act(page, name, node) {
  const about = { application: page.state.application, queue: page.state.name, push: node.value };
  if (name === "pushes") {
    await list(page);
  } else if (name === "attempts") {
    page.state.push = await page.call("pushes.describe", about);
    page.draw();
  } else if (name === "pause-push" || name === "resume-push") {
    const pause = name === "pause-push";
    await page.call(pause ? "pushes.pause" : "pushes.resume", about, `${node.value} ${pause ? "is paused" : "goes on"}.`);
    await list(page);
  } else {
    return false;
  }
  return true;
}

export function draw(page) {
  const { pushes, push } = page.state;
  if (!pushes?.length) return null;
  return h(
    "section",
    { class: "card", "aria-labelledby": "pushes" },
    h("h2", { id: "pushes" }, "Pushes"),
    cards("Pushes", HEADS, pushes.map((one) => row(page, one))),
    h("button", { type: "button", "data-act": "pushes" }, "Look again"),
    push ? attempts(push) : null,
  );
}

function row(page, one) {
  const cells = [
    one.url,
    one.since ? `${one.state} since ${clock(one.since)}` : one.state,
    number(one.failures),
    one.blocked || one.last_error || "–",
  ];
  const paused = one.state === "paused";
  return h(
    "tr",
    { "data-key": one.name },
    h("th", { scope: "row" }, one.name),
    cells.map((text, at) => h("td", { "data-label": HEADS[at + 1] }, text)),
    h(
      "td",
      {},
      h("button", { type: "button", "data-act": "attempts", value: one.name }, "Attempts"),
      page.can("operate")
        ? h(
            "button",
            { type: "button", "data-act": paused ? "resume-push" : "pause-push", value: one.name },
            paused ? "Resume" : "Pause",
          )
        : null,
    ),
  );
}

function attempts(push) {
  const heading = h("h3", { id: "attempts" }, `Last attempts of ${push.name}`);
  if (!push.attempts.length) return [heading, h("p", { class: "empty" }, "Nothing was sent yet.")];
  const rows = push.attempts.map((one) => {
    const cells = [one.id, one.deliveries, one.status ?? "–", number(one.milliseconds), one.error || "–"];
    return h(
      "tr",
      { "data-key": `${one.time} ${one.id}` },
      h("th", { scope: "row" }, clock(one.time)),
      cells.map((text, at) => h("td", { "data-label": ATTEMPTS[at + 1] }, `${text}`)),
    );
  });
  return [heading, cards(`Attempts of ${push.name}`, ATTEMPTS, rows)];
}
