//! How much of a limit is used: a bar, and the same in words.

import { h } from "../dom.js";
import { percent } from "../format.js";

/** `share` is what is used, from 0 on; null when nobody knows. `words` stand beside the name and say it exactly. */
export function meter(name, share, words, note = null) {
  const known = typeof share === "number" && Number.isFinite(share);
  const filled = known ? Math.min(1, Math.max(0, share)) : 0;
  return h("div", { class: "meter", "data-level": !known ? "unknown" : filled >= 1 ? "full" : filled > 0.8 ? "high" : "fine" },
    h("div", { class: "meter-head" }, h("span", { class: "meter-name" }, name), h("span", { class: "dim" }, words)),
    h("div", { class: "meter-bar", role: "meter", "aria-label": name, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": known ? String(Math.round(filled * 100)) : null, "aria-valuetext": known ? percent(share) : words },
      h("span", { style: `width: ${(filled * 100).toFixed(1)}%` })),
    note ? h("div", { class: "sub" }, note) : null);
}
