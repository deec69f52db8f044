// Applications: their keys, limits and policies.

import { cards, h, numeric, valuesOf } from "./dom.js";
import { ask, say } from "./dialog.js";
import { clock, number } from "./format.js";
import { linkTo } from "./queues.js";
import { call } from "./rpc.js";

export const title = ({ path }) => path[1] || "applications";

export function begin(page) {
  page.state = { name: page.path[1] || null, made: null, rotates: null };
}

export function calls({ state }) {
  if (state.name) return [{ method: "applications.get", params: { name: state.name } }];
  return [{ method: "applications.list", params: { limit: 100 } }];
}

export async function act(page, name, node) {
  const { state } = page;
  if (name === "create") {
    const { name: made } = valuesOf(node);
    if (await page.call("applications.set", { name: made, revision: 0 }, `${made} was made.`)) location.hash = linkTo("applications", made);
  } else if (name === "add-key") {
    await addKey(page);
  } else if (name === "rotate") {
    const text = "A new key is made first. Give it to the programs, and revoke the old one when none uses it any more.";
    if (await ask({ title: `Rotate ${node.value}?`, text, action: "Make a new key" })) {
      state.rotates = node.value;
      await addKey(page);
    }
  } else if (name === "revoke") {
    const text = "Programs that use this key are refused from then on. This cannot be undone.";
    const agreed = await ask({ title: `Revoke ${node.value}?`, text, word: node.value, action: "Revoke", danger: true });
    if (agreed && (await page.call("keys.revoke", { application: state.name, id: node.value }, `${node.value} was revoked.`))) {
      if (state.rotates === node.value) state.rotates = state.made = null;
      page.follow();
    }
  } else if (name === "hide-key") {
    state.made = null;
    page.draw();
  } else if (name === "limits") {
    await setLimits(page, node);
  }
}

async function addKey(page) {
  const { state } = page;
  const made = await page.call("keys.add", { application: state.name });
  if (!made) return;
  state.made = made;
  page.follow();
  page.draw();
  document.getElementById("new-key")?.focus();
}

async function setLimits(page, form) {
  const shown = page.answers?.[0]?.result;
  if (!shown) return;
  const changed = {};
  for (const input of form.querySelectorAll("input")) {
    const value = input.value === "" ? null : Number(input.value);
    if (value !== shown.limits[input.name]) changed[input.name] = value;
  }
  if (!Object.keys(changed).length) return;
  const text = Object.entries(changed).map(([name, value]) => `${name}: ${number(shown.limits[name])} → ${value === null ? "no limit" : number(value)}`);
  if (!(await ask({ title: `Change the limits of ${shown.name}?`, text, action: "Change" }))) return;
  try {
    await call("limits.set", { application: shown.name, revision: shown.revision, ...changed });
    say("The limits were changed.");
    page.follow();
  } catch (error) {
    await ask({ title: "The limits stay as they were", text: error.message, action: "Good" });
  }
}

export function draw(page) {
  const answer = page.answers?.[0];
  if (!page.state.name) return listed(page, answer);
  return [
    h("p", { class: "crumbs" }, h("a", { href: "#/applications" }, "Applications")),
    h("h1", {}, page.state.name),
    !answer ? h("p", { class: "empty" }, "…") : answer.error ? problem(answer.error) : application(page, answer.result),
  ];
}

const problem = (error) => h("p", { class: "error", role: "alert" }, error.message);

function listed(page, answer) {
  return [
    h("h1", {}, "Applications"),
    h(
      "section",
      { class: "card", "aria-label": "Applications" },
      !answer ? h("p", { class: "empty" }, "…") : answer.error ? problem(answer.error) : table(answer.result),
      page.can("operate")
        ? h(
            "form",
            { class: "filters", "data-act": "create" },
            h("label", {}, "new application", h("input", { name: "name", required: true, autocomplete: "off", pattern: "[A-Za-z0-9._\\-]{1,50}" })),
            h("button", {}, "Make"),
          )
        : null,
    ),
  ];
}

function table({ applications, next }) {
  const row = (one) =>
    h(
      "tr",
      { "data-key": one.name },
      h("th", { scope: "row" }, h("a", { href: linkTo("applications", one.name) }, one.name)),
      h("td", { "data-label": "defined in" }, one.source),
      h("td", { class: "num", "data-label": "keys" }, number(one.keys)),
      h("td", { "data-label": "made" }, clock(one.made)),
      h("td", { "data-label": "changed" }, clock(one.changed)),
    );
  return [
    cards("Applications", ["application", "defined in", numeric("keys"), "made", "changed"], applications.map(row)),
    next ? h("p", { class: "dim" }, "These are the first 100.") : null,
  ];
}

function application(page, one) {
  const changes = page.can("operate") && one.source === "store";
  return [
    one.source === "store" ? null : h("p", { class: "dim" }, "This application is in the settings file, and can only be changed there."),
    keys(page, one, changes),
    h(
      "section",
      { class: "card", "aria-labelledby": "limits" },
      h("h2", { id: "limits" }, "Limits"),
      h("p", { class: "dim" }, "An empty field is no limit."),
      h(
        "form",
        { class: "grid", "data-act": "limits" },
        Object.entries(one.limits).map(([name, value]) =>
          h("label", { "data-key": name }, name, h("input", { name, type: "number", min: "0", step: "any", value, readonly: !changes })),
        ),
        changes ? h("p", { class: "buttons" }, h("button", { class: "primary" }, "Change…")) : null,
      ),
    ),
    h(
      "section",
      { class: "card", "aria-labelledby": "policy" },
      h("h2", { id: "policy" }, "Policy"),
      h(
        "dl",
        {},
        Object.entries(one.policy).map(([name, value]) => [h("dt", {}, name), h("dd", {}, Array.isArray(value) ? value.join(", ") || "none" : String(value ?? "none"))]),
      ),
    ),
  ];
}

function keys(page, one, changes) {
  const { made, rotates } = page.state;
  return h(
    "section",
    { class: "card", "aria-labelledby": "keys" },
    h("h2", { id: "keys" }, "Keys"),
    made
      ? h(
          "div",
          { class: "new-key", "data-key": made.id },
          h("p", {}, `The new key ${made.id}. It is shown only now:`),
          h("code", { id: "new-key", tabindex: "0" }, made.key),
          rotates ? h("p", {}, `When no program uses ${rotates} any more, revoke it.`) : null,
          h("button", { type: "button", "data-act": "hide-key" }, "I have it"),
        )
      : null,
    one.keys.length
      ? cards("Keys", ["id", "made", "last used here", ...(changes ? ["to do"] : [])], one.keys.map((key) => keyRow(key, changes)))
      : h("p", { class: "empty" }, "This application has no key."),
    changes ? h("p", { class: "buttons" }, h("button", { type: "button", "data-act": "add-key" }, "Add a key")) : null,
  );
}

function keyRow(key, changes) {
  return h(
    "tr",
    { "data-key": key.id },
    h("th", { scope: "row", class: "id" }, key.id),
    h("td", { "data-label": "made" }, clock(key.made)),
    h("td", { "data-label": "last used here" }, key.used_here ? [h("q-age", { time: key.used_here }), " ago"] : "not since the start"),
    changes
      ? h(
          "td",
          { class: "buttons" },
          h("button", { type: "button", "data-act": "rotate", value: key.id }, "Rotate…"),
          h("button", { type: "button", class: "danger", "data-act": "revoke", value: key.id }, "Revoke…"),
        )
      : null,
  );
}
