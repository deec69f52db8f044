// The frame of the page: signing in, the pages by the fragment of the address, and the stream of the page that is shown.

import { h, morph, morphChildren, valuesOf } from "./dom.js";
import { say } from "./dialog.js";
import "./elements.js";
import { now, setClock, span } from "./format.js";
import { Live, call, setToken, storedToken, whenSignedOut } from "./rpc.js";
import * as applications from "./applications.js";
import * as daemon from "./daemon.js";
import * as dead from "./dead.js";
import * as queue from "./queue.js";
import * as queues from "./queues.js";
import * as waits from "./waits.js";

const PAGES = { queues, queue, dead, waits, applications, daemon };
const NAV = [
  ["queues", "Queues"], ["dead", "Dead letters"], ["waits", "Waits & streams"],
  ["applications", "Applications"], ["daemon", "Daemon"],
];

let me = null;
let page = null;
let live = null;
let link = { state: "begins", at: null, why: "" };
let health = null;

/** One page that is shown: its state, its stream and how it is drawn. */
class Page {
  constructor(module, path) {
    this.module = module;
    this.path = path;
    this.state = {};
    this.answers = null;
    this.can = (right) => me.rights.includes(right);
    module.begin?.(this);
  }

  /** Ask for other numbers: the stream begins again. */
  follow() {
    live?.end();
    const calls = [{ method: "health.report" }, ...this.module.calls(this)];
    live = new Live(
      calls,
      (answers) => {
        health = answers[0].result || null;
        this.answers = answers.slice(1);
        this.draw();
        drawHeader();
      },
      onLink,
    );
  }

  draw() {
    if (page !== this) return;
    const main = document.getElementById("main");
    morphChildren(main, [h("div", { class: "page", "data-key": this.path.join("/") }, this.module.draw(this))]);
  }

  /** Call a method for a person: what goes wrong is said. Returns the result, or undefined. */
  async call(method, params, done) {
    try {
      const result = await call(method, params);
      if (done) say(done);
      return result;
    } catch (error) {
      say(error.message, true);
      return undefined;
    }
  }
}

function onLink(state, why, at) {
  link = { state, why: why || "", at: at || link.at };
  if (at) setClock(at);
  drawHeader();
}

// The header

const LINK = { begins: "connecting", live: "live", paused: "paused", broken: "not connected" };

function drawHeader() {
  const header = document.getElementById("header");
  if (!header || !me) return;
  const here = page?.path[0] === "queue" ? "queues" : page?.path[0];
  morph(
    header,
    h(
      "header",
      { id: "header" },
      h("a", { class: "brand", href: "#/queues" }, "Queuey"),
      h(
        "nav",
        { "aria-label": "Pages" },
        NAV.map(([name, text]) => h("a", { href: `#/${name}`, "aria-current": name === here ? "page" : null }, text)),
      ),
      h("div", { class: "pills" }, pills()),
    ),
  );
}

function pills() {
  const found = [];
  if (health) {
    const alerts = health.alerts?.length || 0;
    const bad = health.checks.filter((check) => !check.ok).length;
    found.push(h("a", { class: `pill ${bad ? "bad" : "ok"}`, href: "#/daemon" }, bad ? "not ready" : "ready"));
    if (alerts) found.push(h("a", { class: "pill bad", href: "#/daemon" }, alerts === 1 ? "1 alert" : `${alerts} alerts`));
  }
  const old = link.at ? now() - link.at : 0;
  const late = link.state === "live" && old > 6;
  const stale = link.state !== "live" || late;
  const age = link.at ? `, ${span(old)} ago` : "";
  found.push(h("span", { class: `pill link ${stale ? "bad" : "ok"}`, id: "age", title: link.why || null }, `${late ? "no answer" : LINK[link.state]}${age}`));
  const rights = me.rights.filter((right) => right !== "watch").join(", ") || "watch only";
  found.push(h("span", { class: "pill", id: "me" }, `${me.name}: ${rights}`));
  found.push(h("button", { class: "pill", type: "button", "data-act": "sign-out" }, "Sign out"));
  return found;
}

setInterval(drawHeader, 1000);

// Events: a page names its actions in data-act, and gets them all here.

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-act]");
  if (!button || button.tagName === "FORM" || button.disabled) return;
  if (button.dataset.act === "sign-out") return signOut("");
  page?.module.act?.(page, button.dataset.act, button);
});
document.addEventListener("submit", (event) => {
  const act = event.target.dataset.act;
  if (!act) return;
  event.preventDefault();
  if (act === "sign-in") {
    const { token, store } = valuesOf(event.target);
    if (token) signIn(token, Boolean(store));
  } else page?.module.act?.(page, act, event.target);
});
document.addEventListener("change", (event) => {
  const act = event.target.dataset?.change;
  if (act) page?.module.act?.(page, act, event.target);
});
document.addEventListener("input", (event) => {
  const act = event.target.dataset?.input;
  if (act) page?.module.act?.(page, act, event.target);
});

// Signing in

function signInPage(why) {
  live?.end();
  live = page = me = null;
  document.title = "Queuey: sign in";
  document.body.replaceChildren(
    h(
      "main",
      { id: "main", class: "sign-in" },
      h("h1", {}, "Queuey"),
      why ? h("p", { class: "error", role: "alert" }, why) : null,
      h(
        "form",
        { "data-act": "sign-in" },
        h("label", { for: "token" }, "Token"),
        h("input", { id: "token", name: "token", type: "password", required: true, autocomplete: "off", spellcheck: "false" }),
        h("label", { class: "box" }, h("input", { type: "checkbox", name: "store" }), " Keep it until this tab is closed"),
        h("button", { class: "primary" }, "Sign in"),
      ),
      h("p", { class: "dim" }, "queuey ops dashboard.token prints a URL that signs in for an hour."),
    ),
  );
  document.getElementById("token").focus();
}

function signOut(why) {
  setToken(null);
  signInPage(why);
}

async function signIn(token, store) {
  setToken(token, store);
  try {
    me = await call("dashboard.whoami");
  } catch (error) {
    signInPage(error.message);
    return;
  }
  document.body.replaceChildren(
    h("a", { class: "skip", href: "#main", "data-skip": "" }, "Skip to the content"),
    h("header", { id: "header" }),
    h("p", { id: "note", role: "status", "aria-live": "polite" }),
    h("main", { id: "main", tabindex: "-1" }),
  );
  document.querySelector("[data-skip]").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
  show();
}

function show() {
  if (!me) return;
  const path = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const module = PAGES[path[0]] || queues;
  if (!PAGES[path[0]]) path.splice(0, path.length, "queues");
  const first = page === null;
  page = new Page(module, path);
  document.title = `Queuey: ${module.title(page)}`;
  health = health && live ? health : null;
  page.draw();
  page.follow();
  drawHeader();
  if (!first) document.getElementById("main").focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function begin() {
  const given = /^#token=([A-Za-z0-9_.~-]+)$/.exec(location.hash);
  if (given) {
    // Out of the address and of the history at once.
    history.replaceState(null, "", `${location.pathname}#/queues`);
    signIn(given[1], storedToken() !== null);
  } else if (storedToken()) {
    signIn(storedToken(), true);
  } else {
    signInPage("");
  }
}

window.addEventListener("hashchange", () => (/^#token=/.test(location.hash) ? begin() : show()));
whenSignedOut((why) => me && signInPage(why));
begin();
