// Custom elements: an age that counts on by itself, and a small chart.

import { s } from "./dom.js";
import { now, seconds, span } from "./format.js";

const ages = new Set();
setInterval(() => ages.forEach((each) => each.show()), 1000);

/** <q-age time="2026-01-31T12:00:00Z"></q-age>: for how long ago that is. */
class Age extends HTMLElement {
  static observedAttributes = ["time"];
  connectedCallback() {
    ages.add(this);
    this.show();
  }
  disconnectedCallback() {
    ages.delete(this);
  }
  attributeChangedCallback() {
    this.show();
  }
  show() {
    const text = this.hasAttribute("time") ? span(now() - seconds(this.getAttribute("time"))) : "–";
    if (this.textContent !== text) this.textContent = text;
  }
}

const WIDTH = 120;
const HEIGHT = 28;

/** The points of a line through values, from the left edge to the right one. */
export function points(values, width, height, most) {
  const step = width / Math.max(1, values.length - 1);
  return values.map((value, at) => `${(at * step).toFixed(1)},${(height - 1 - (value / most) * (height - 3)).toFixed(1)}`);
}

/** <q-spark values="1 2 3" label="stored in orders"></q-spark>: a chart without axes; the number stands beside it. */
class Spark extends HTMLElement {
  static observedAttributes = ["values", "label"];
  connectedCallback() {
    this.show();
  }
  attributeChangedCallback() {
    if (this.isConnected) this.show();
  }
  show() {
    const values = (this.getAttribute("values") || "").split(" ").filter(Boolean).map(Number);
    if (!values.length) {
      this.replaceChildren();
      return;
    }
    const line = points(values, WIDTH, HEIGHT, Math.max(1, ...values));
    this.replaceChildren(
      s(
        "svg",
        {
          viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
          "aria-label": `${this.getAttribute("label")}, last ten minutes`,
        },
        s("polygon", { points: `0,${HEIGHT} ${line.join(" ")} ${WIDTH},${HEIGHT}` }),
        s("polyline", { points: line.join(" ") }),
      ),
    );
  }
}

customElements.define("q-age", Age);
customElements.define("q-spark", Spark);
