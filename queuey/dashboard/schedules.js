// The schedules of a queue: what each does, and pause and resume.

import { cards, h } from "./dom.js";
import { clock, number } from "./format.js";
import { call } from "./rpc.js";

const MAX = 100;
const HEADS = ["schedule", "times", "next", "state", "failures", ""];

/** Ask for the schedules of the queue of a page; the page is drawn when they are known. */
export async function list(page) {
  const { application, name } = page.state;
  let found;
  try {
    found = await call("schedules.list", { application, queue: name, limit: MAX });
  } catch {
    return; // the page says itself what is wrong with the queue
  }
  page.state.schedules = found.schedules;
  page.draw();
}

/** Pause a schedule, or let it go on. */
export async function setPaused(page, schedule, paused) {
  const { application, name } = page.state;
  const about = { application, queue: name, schedule };
  await page.call(paused ? "schedules.pause" : "schedules.resume", about, `${schedule} ${paused ? "is paused" : "goes on"}.`);
  await list(page);
}

export function draw(page) {
  const { schedules } = page.state;
  return h(
    "section",
    { class: "card", "aria-labelledby": "schedules" },
    h("h2", { id: "schedules" }, "Schedules"),
    !schedules
      ? h("p", { class: "empty" }, "…")
      : schedules.length
        ? table(page, schedules)
        : h("p", { class: "empty" }, "This queue has no schedule."),
    schedules?.length ? h("button", { type: "button", "data-act": "schedules" }, "Look again") : null,
  );
}

function table(page, schedules) {
  const heads = page.can("operate") ? HEADS : HEADS.slice(0, -1);
  return cards("Schedules", heads, schedules.map((one) => row(page, one)));
}

function row(page, one) {
  const cells = [
    `${one.cron}, ${one.timezone}`,
    one.next ? clock(one.next) : "–",
    one.since ? `${one.state} since ${clock(one.since)}` : one.state,
    one.failures ? `${number(one.failures)}, ${one.last_error}` : "0",
  ];
  const paused = one.state === "paused";
  return h(
    "tr",
    { "data-key": one.name },
    h("th", { scope: "row" }, one.name),
    cells.map((text, at) => h("td", { "data-label": HEADS[at + 1] }, text)),
    page.can("operate")
      ? h(
          "td",
          {},
          h(
            "button",
            { type: "button", "data-act": paused ? "resume-schedule" : "pause-schedule", value: one.name },
            paused ? "Resume" : "Pause",
          ),
        )
      : null,
  );
}
