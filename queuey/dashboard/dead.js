// Dead letters: of a group, by reason and time; some or all of them are given back to their group.

import { cards, h, numeric, valuesOf } from "./dom.js";
import { ask, say } from "./dialog.js";
import { bytes, number } from "./format.js";
import { linkTo } from "./queues.js";

const MOST = 1000;

export const title = ({ path }) => (path[3] ? `dead letters of ${path[3]}` : "dead letters");

export function begin(page) {
  const [, application, queue, group] = page.path;
  page.state = { about: group ? { application, queue, group } : null, filter: {}, found: null, chosen: new Set(), busy: false };
  if (group) list(page, {});
}

export const calls = ({ state }) => (state.about ? [] : [{ method: "queues.report", params: { limit: 100 } }]);

export async function act(page, name, node) {
  const { state } = page;
  if (name === "filter") {
    const { reason, since, before } = valuesOf(node);
    state.filter = {};
    if (reason) state.filter.reason = reason;
    if (since) state.filter.since = new Date(since).toISOString();
    if (before) state.filter.before = new Date(before).toISOString();
    state.chosen.clear();
    await list(page, {});
  } else if (name === "more") {
    await list(page, { after: state.found.next });
  } else if (name === "choose") {
    if (node.checked) state.chosen.add(node.value);
    else state.chosen.delete(node.value);
    page.draw();
  } else if (name === "choose-all") {
    for (const one of state.found.dead_letters) {
      if (node.checked) state.chosen.add(one.id);
      else state.chosen.delete(one.id);
    }
    for (const box of document.querySelectorAll('[data-change="choose"]')) box.checked = node.checked;
    page.draw();
  } else if (name === "redrive") {
    await redrive(page, { ids: [...state.chosen].slice(0, MOST) }, state.chosen.size === 1 ? "1 dead letter" : `${number(state.chosen.size)} dead letters`);
  } else if (name === "redrive-all") {
    const some = Object.keys(state.filter).length > 0;
    await redrive(page, some ? state.filter : { all: true }, some ? "all that match" : "all dead letters");
  }
}

async function list(page, more) {
  const { state } = page;
  if (state.busy) return;
  state.busy = true;
  const found = await page.call("dead.list", { ...state.about, ...state.filter, ...more, limit: 100 });
  state.busy = false;
  if (!found) return;
  if (more.after) {
    const reasons = { ...state.found.reasons };
    for (const [reason, count] of Object.entries(found.reasons)) reasons[reason] = (reasons[reason] || 0) + count;
    found.dead_letters = [...state.found.dead_letters, ...found.dead_letters];
    found.scanned += state.found.scanned;
    found.reasons = reasons;
  }
  state.found = found;
  page.draw();
}

/** Try it first, say what would happen, and do it if the person agrees. A call moves at most so many; it is repeated. */
async function redrive(page, which, words) {
  const { state } = page;
  const { group } = state.about;
  const plan = await page.call("groups.redrive", { ...state.about, ...which, dry_run: true });
  if (!plan) return;
  const text = [
    `${plan.next ? "At least " : ""}${number(plan.moved)} can be claimed again by ${group}, as if they had never been given.`,
    plan.copies ? `The originals of ${number(plan.copies)} are gone: a copy is posted, which other groups are not given.` : "",
    plan.missing ? `${number(plan.missing)} are no dead letters of this group any more.` : "",
    ...stay(plan.left),
  ].filter(Boolean);
  if (!plan.moved && !plan.next) return void (await ask({ title: "Nothing to redrive", text, action: "Good" }));
  if (!(await ask({ title: `Redrive ${words} to ${state.about.queue} / ${group}?`, text, word: group, action: "Redrive" }))) return;
  let moved = 0;
  const left = {};
  let done;
  for (let after; ; ) {
    done = await page.call("groups.redrive", { ...state.about, ...which, ...(after ? { after } : {}) });
    if (!done) break; // what went wrong was said
    moved += done.moved;
    for (const [why, count] of Object.entries(done.left)) left[why] = (left[why] || 0) + count;
    if (!done.next) break;
    if (done.next === after && !done.moved) await new Promise((go) => setTimeout(go, 1000)); // too many messages are in flight
    after = done.next;
  }
  state.chosen.clear();
  if (done) say([`${number(moved)} messages were given back to ${group}.`, ...stay(left)].join(" "));
  await list(page, {});
}

/** A sentence for each reason why dead letters stay. */
const stay = (left) =>
  Object.entries(left).map(([why, count]) => `${number(count)} stay: their originals are gone, and the queue takes no copies (${why}).`);

export function draw(page) {
  const { state } = page;
  return state.about ? ofGroup(page) : choice(page);
}

function choice(page) {
  const answer = page.answers?.[0];
  const groups = (answer?.result?.queues || []).flatMap((queue) =>
    (queue.groups || [])
      .filter((group) => group.dead_letter || group.set_aside > 0)
      .map((group) => ({ queue, group })),
  );
  return [
    h("h1", {}, "Dead letters"),
    h(
      "section",
      { class: "card", "aria-label": "Groups" },
      !answer
        ? h("p", { class: "empty" }, "…")
        : answer.error
          ? h("p", { class: "error", role: "alert" }, answer.error.message)
          : groups.length
            ? cards("Groups with dead letters", ["group", "queue", "dead letters go to", numeric("set aside")], groups.map(groupRow))
            : h("p", { class: "empty" }, "None of the 100 busiest queues has a group with dead letters. Those of another group are linked from its queue."),
    ),
  ];
}

function ofGroup(page) {
  const { state } = page;
  const { application, queue, group } = state.about;
  return [
    h(
      "p",
      { class: "crumbs" },
      h("a", { href: "#/dead" }, "Dead letters"),
      " / ",
      h("a", { href: linkTo("queue", application, queue) }, `${application} / ${queue}`),
    ),
    h("h1", {}, `Dead letters of ${group}`),
    h(
      "section",
      { class: "card", "aria-label": "Dead letters" },
      h(
        "form",
        { class: "filters", "data-act": "filter" },
        h("label", {}, "reason contains", h("input", { name: "reason", autocomplete: "off" })),
        h("label", {}, "since", h("input", { name: "since", type: "datetime-local", step: "1" })),
        h("label", {}, "before", h("input", { name: "before", type: "datetime-local", step: "1" })),
        h("button", {}, "Filter"),
      ),
      state.found ? listed(page) : h("p", { class: "empty" }, "…"),
    ),
  ];
}

function listed(page) {
  const { state } = page;
  const { found, chosen } = state;
  const reasons = Object.entries(found.reasons).sort((one, other) => other[1] - one[1]);
  const operates = page.can("operate");
  return [
    h(
      "p",
      { class: "dim" },
      `${number(found.dead_letters.length)} listed. `,
      found.dead_letter_queue
        ? ["They are in ", h("a", { href: linkTo("queue", state.about.application, found.dead_letter_queue) }, found.dead_letter_queue), "."]
        : "They are set aside in the group.",
    ),
    reasons.length
      ? h("ul", { class: "reasons", "aria-label": "Reasons" }, reasons.map(([reason, count]) => h("li", {}, h("b", {}, number(count)), ` ${reason || "no reason"}`)))
      : null,
    operates
      ? h(
          "p",
          { class: "buttons" },
          h("button", { type: "button", class: "primary", "data-act": "redrive", disabled: !chosen.size }, `Redrive ${chosen.size} selected…`),
          h("button", { type: "button", "data-act": "redrive-all", disabled: !found.dead_letters.length }, Object.keys(state.filter).length ? "Redrive all that match…" : "Redrive all…"),
        )
      : h("p", { class: "dim" }, "This token may not give dead letters back: it lacks the right operate."),
    found.dead_letters.length ? table(page) : h("p", { class: "empty" }, "There is no dead letter."),
    found.next ? h("button", { type: "button", "data-act": "more" }, "More") : null,
  ];
}

function table(page) {
  const { found, chosen } = page.state;
  const operates = page.can("operate");
  const all = h("input", { type: "checkbox", "aria-label": "Select all that are listed", "data-change": "choose-all" });
  const heads = ["message", "reason", numeric("deliveries"), "since", "type"];
  if (operates) heads.unshift(h("th", { scope: "col" }, all));
  return cards("Dead letters", heads, found.dead_letters.map((one) => letterRow(one, operates, chosen.has(one.id))));
}

function letterRow(one, operates, isChosen) {
  return h(
    "tr",
    { "data-key": one.id, class: isChosen ? "chosen" : null },
    operates ? h("td", {}, h("input", { type: "checkbox", value: one.id, "aria-label": `Select ${one.id}`, "data-change": "choose" })) : null,
    h("th", { scope: "row", class: "id" }, one.original || one.id),
    h("td", { "data-label": "reason" }, one.reason || "–"),
    h("td", { class: "num", "data-label": "deliveries" }, number(one.deliveries)),
    h("td", { "data-label": "since" }, one.since ? [h("q-age", { time: one.since }), " ago"] : "–"),
    h("td", { "data-label": "type" }, `${one.type || "none"}, ${bytes(one.bytes)}`),
  );
}

function groupRow({ queue, group }) {
  return h(
    "tr",
    { "data-key": `${queue.application}/${queue.name}/${group.name}` },
    h("th", { scope: "row" }, h("a", { href: linkTo("dead", queue.application, queue.name, group.name) }, group.name)),
    h("td", { "data-label": "queue" }, `${queue.application} / ${queue.name}`),
    h("td", { "data-label": "dead letters go to" }, group.dead_letter || "nowhere: they are set aside"),
    h("td", { class: "num", "data-label": "set aside" }, number(group.set_aside)),
  );
}
