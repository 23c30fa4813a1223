//! Text that wants to be elsewhere: shown as code, copied with one press.

import { h } from "../dom.js";
import { t } from "../i18n.js";

/** A block of code under its own name, with a copy button. */
export function snippet(label, text) {
  const code = h("code", null, text);
  return h("figure", { class: "snippet" },
    h("figcaption", null, h("span", null, label), copyButton(text, code, label)),
    h("pre", { tabindex: "0", role: "region", "aria-label": label }, code));
}

/** Copies `text`; `shown` is the element that displays it, `label` what it is. */
export function copyButton(text, shown, label) {
  const button = h("button", {
    type: "button", class: "small", "aria-label": t("copy.name", { what: label }),
    onclick: async () => {
      button.textContent = await copy(text, shown) ? t("copy.done") : t("copy.by_hand");
      setTimeout(() => { button.textContent = t("copy.copy"); }, 2000);
    },
  }, t("copy.copy"));
  return button;
}

// Without https (a gateway in one's own network) there is no clipboard; the older command still works on a selection.
async function copy(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(shown);
    return document.execCommand("copy");
  }
}
