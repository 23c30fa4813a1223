//! A table that a phone shows as cards: the first column heads a card, the others carry their own labels.

import { h, replace } from "../dom.js";

/**
 * `columns` are `{ label, cell(row), kind? }` where kind is `number`, `actions`, `wide`,
 * `line` (never broken), `clipped` (never wider than a name should be) or `beside` (on a card, next to its head), and `minor` besides, for what a card leaves out; `detail(row)`, if given, is what
 * a row opens to. Roles are written out because a narrow screen changes `display`, which would take them away.
 */
export function table({ caption, columns, rows, id = (row) => row.id, detail = null }) {
  const heads = columns.map(({ label, kind }) => h("th", { role: "columnheader", scope: "col", class: kind }, label));
  if (detail) heads.push(h("th", { role: "columnheader", scope: "col", class: "actions" }, detail.label));
  return h("table", { class: "table", role: "table" },
    h("caption", null, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
    h("tbody", { role: "rowgroup" }, rows.map((row) => lines(columns, row, id(row), detail))));
}

function lines(columns, row, id, detail) {
  const cells = columns.map(cell(row));
  if (!detail) return h("tr", { role: "row", id }, cells);
  const more = h("tr", { role: "row", class: "detail", id: `${id}-detail`, hidden: true },
    h("td", { role: "cell", colspan: columns.length + 1 }));
  const toggle = h("button", {
    type: "button", class: "toggle", "aria-expanded": "false", "aria-controls": more.id, "aria-label": detail.name(row),
    onclick: () => {
      if (more.hidden) replace(more.firstChild, detail.render(row));
      more.hidden = !more.hidden;
      toggle.setAttribute("aria-expanded", String(!more.hidden));
    },
  });
  return [h("tr", { role: "row", id }, cells, h("td", { role: "cell", class: "actions" }, toggle)), more];
}

function cell(row) {
  return ({ label, cell: content, kind }, index) => index === 0
    ? h("th", { role: "rowheader", scope: "row", class: kind }, content(row))
    : h("td", { role: "cell", class: kind, "data-label": label }, content(row));
}
