// The chart of ten minutes, with the same numbers as a table.

import { h, s } from "./dom.js";
import { points } from "./elements.js";
import { number, rate } from "./format.js";

const WIDTH = 600;
const HEIGHT = 120;
const NAMES = [["stored", "stored"], ["given", "sent"], ["acked", "acknowledged"]];

/** A chart of some histories: messages in each entry of `span` seconds. */
export function chart(key, histories, span, title) {
  const rates = NAMES.map(([kind, name]) => ({ kind, name, values: (histories?.[kind] || []).map((one) => one / span) }));
  if (!rates[0].values.length) return h("p", { class: "empty" }, "There are no numbers yet.");
  const most = ceiling(Math.max(...rates.flatMap((each) => each.values)));
  const last = (each) => rate(each.values[each.values.length - 1]);
  const label = `${title}, the last ${span} s: ${rates.map((each) => `${each.name} ${last(each)}`).join(", ")}`;
  return h(
    "figure",
    { class: "chart", "data-key": key },
    h(
      "div",
      { class: "plot" },
      h("div", { class: "ys", "aria-hidden": "true" }, [1, 0.5, 0].map((part) => h("span", {}, rate(most * part)))),
      s(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
        [1, HEIGHT / 2, HEIGHT - 1].map((y) => s("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y })),
        rates.map((each) =>
          s("polyline", { class: `line ${each.kind}`, points: points(each.values, WIDTH, HEIGHT, most).join(" ") }),
        ),
      ),
      h("div", { class: "xs", "aria-hidden": "true" }, ["10 min ago", "5 min", "now"].map((text) => h("span", {}, text))),
    ),
    h(
      "figcaption",
      {},
      rates.map((each) => h("span", { class: `key ${each.kind}` }, each.name)),
    ),
    table(rates, span),
  );
}

function table(rates, span) {
  const count = rates[0].values.length;
  const rows = [...Array(count).keys()].reverse();
  return h(
    "details",
    {},
    h("summary", {}, "The same as a table"),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Rates as a table" },
      h(
        "table",
        { class: "plain" },
        h(
          "thead",
          {},
          h("tr", {}, h("th", { scope: "col" }, "ago"), rates.map((each) => h("th", { scope: "col", class: "num" }, each.name))),
        ),
        h(
          "tbody",
          {},
          rows.map((at) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, `${number((count - at) * span)} s`),
              rates.map((each) => h("td", { class: "num" }, rate(each.values[at]))),
            ),
          ),
        ),
      ),
    ),
  );
}

/** The next number that is easy to read: 1, 2 or 5 times a power of ten. */
function ceiling(value) {
  if (value <= 0.1) return 0.1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}
