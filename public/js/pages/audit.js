//! Audit log: who changed what, and when?

import { change } from "../answers.js";
import { at } from "../components/figure.js";
import { pager } from "../components/links.js";
import { empty, head } from "../components/notice.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { DASH } from "../format.js";
import { t, word } from "../i18n.js";
import { address } from "../router.js";
import { parts } from "./settings.js";

export const title = "audit.title";

const ABOUT = ["account", "key", "routing", "price"];

export async function load(api, { query }, signal) {
  const action = ABOUT.includes(query.about) ? `${query.about}.*` : null;
  const answer = await api.get("/api/stats/audit", { limit: 50, cursor: query.cursor, subject: query.subject, actor: query.actor, action }, signal);
  return { changes: answer.data.map(change), next: answer.next_cursor ?? null };
}

export function render({ changes, next }, page) {
  const { query } = page.route;
  const filters = h("div", { class: "filters", role: "search", "aria-label": t("filter.name") },
    h("select", { id: "filter-about", "aria-label": t("audit.about"), onchange: (event) => { location.hash = address("settings/audit", { about: event.target.value }); } },
      h("option", { value: "" }, t("audit.about.any")), ABOUT.map((value) => h("option", { value, selected: query.about === value }, word("about", value)))),
    query.subject ? h("span", { class: "chip" }, query.subject) : null,
    query.subject || query.about ? h("a", { href: "#/settings/audit" }, t("filter.clear")) : null);
  return [
    head(t(title), parts("settings/audit", page)),
    filters,
    changes.length === 0 ? empty(t("audit.empty"), t("audit.empty.why")) : h("section", { class: "panel" }, table({
      caption: t("audit.caption"),
      rows: changes,
      id: (row) => `change-${row.id}`,
      columns: [
        { label: t("column.time"), cell: (row) => at(row.at) },
        { label: t("audit.actor"), kind: "clipped", cell: (row) => (row.actor === "admin_token" ? t("audit.operator") : row.actor ?? DASH) },
        { label: t("audit.action"), kind: "line", cell: (row) => word("audited", row.action) },
        { label: t("audit.subject"), kind: "clipped", cell: (row) => h("a", { href: address("settings/audit", { subject: row.subject }), title: row.subject }, nameOf(row)) },
        { label: t("audit.changed"), kind: "wide", cell: (row) => changed(row) },
      ],
    })),
    pager("settings/audit", query, next),
  ];
}

function nameOf({ before, after, subject }) {
  return after?.name ?? before?.name ?? subject ?? DASH;
}

// What is new says itself by its name; what changed is said field by field.
function changed({ before, after }) {
  if (!before || !after) return h("span", { class: "dim" }, before ? t("audit.gone") : t("audit.new"));
  const names = Object.keys({ ...before, ...after }).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  if (names.length === 0) return h("span", { class: "dim" }, DASH);
  return h("ul", { class: "changes" }, names.map((name) => h("li", null, h("code", null, name), " ", shown(before[name]), " → ", shown(after[name]))));
}

function shown(value) {
  return value === undefined || value === null ? DASH : typeof value === "string" ? value : JSON.stringify(value);
}
