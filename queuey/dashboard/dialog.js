// Questions before a change, and short notes about what was done.

import { h } from "./dom.js";

/**
 * Ask before a change. What cannot be undone wants a word to be typed.
 *
 * Returns whether the person agrees.
 */
export function ask({ title, text, word, action, danger }) {
  const input = word ? h("input", { id: "dialog-word", autocomplete: "off", spellcheck: "false" }) : null;
  const yes = h("button", { class: danger ? "danger" : "primary", value: "yes", disabled: Boolean(word) }, action);
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      [text].flat().map((line) => h("p", {}, line)),
      word ? h("label", { for: "dialog-word" }, "To go on, type ", h("b", {}, word)) : null,
      input,
      h("p", { class: "buttons" }, yes, h("button", { value: "no", type: "button", "data-no": "" }, "Cancel")),
    ),
  );
  dialog.querySelector("[data-no]").addEventListener("click", () => dialog.close("no"));
  input?.addEventListener("input", () => {
    yes.disabled = input.value !== word;
  });
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
    (input || yes).focus();
  });
}

let timer;

/** Say what was done, or why it was not. */
export function say(text, bad = false) {
  const place = document.getElementById("note");
  place.className = bad ? "bad" : "good";
  place.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => {
    place.textContent = "";
    place.className = "";
  }, bad ? 20000 : 8000);
}
