// Elements, and how a tree that is shown becomes a new one. Text is set as text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** Make an element: h("p", {class: "note"}, "text", other). */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an element of SVG. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Make the head of a column of numbers. */
export function numeric(text) {
  return h("th", { scope: "col", class: "num" }, text);
}

/** Make a table that a narrow window shows as cards. A head is a text, "" for a column without one, or an element. */
export function cards(label, heads, rows) {
  const column = (head) => (head instanceof Node ? head : head ? h("th", { scope: "col" }, head) : h("td", {}));
  return h(
    "table",
    { class: "cards", "aria-label": label },
    h("thead", {}, h("tr", {}, heads.map(column))),
    h("tbody", {}, rows),
  );
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);
const isAlike = (one, other) =>
  one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

// What a person has opened, typed or chosen stays as it is.
const OWN = { DETAILS: ["open"], INPUT: ["value", "checked"], SELECT: [], OPTION: ["selected"], DIALOG: ["open"] };

/** Change a tree into another one; nodes that are alike stay, so that focus, selection and scrolling stay too. */
export function morph(shown, wanted) {
  if (shown.nodeType === Node.TEXT_NODE) {
    if (shown.data !== wanted.data) shown.data = wanted.data;
    return;
  }
  const kept = OWN[shown.nodeName] || [];
  for (const { name } of [...shown.attributes]) {
    if (!wanted.hasAttribute(name) && !kept.includes(name)) shown.removeAttribute(name);
  }
  for (const { name, value } of [...wanted.attributes]) {
    if (!kept.includes(name) && shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  if (shown.localName.includes("-") || shown.nodeName === "TEXTAREA") return;
  morphChildren(shown, [...wanted.childNodes]);
}

/** Change the children of an element into others. */
export function morphChildren(parent, wanted) {
  const keyed = new Map([...parent.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let at = parent.firstChild;
  for (const node of wanted) {
    const same = keyOf(node) ? keyed.get(keyOf(node)) : at;
    if (same && isAlike(same, node)) {
      if (same !== at) parent.insertBefore(same, at);
      else at = at.nextSibling;
      morph(same, node);
    } else {
      parent.insertBefore(node, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** The values of a form by the names of its fields; empty ones are left out. */
export function valuesOf(form) {
  const found = {};
  for (const [name, value] of new FormData(form)) if (value !== "") found[name] = value;
  return found;
}
