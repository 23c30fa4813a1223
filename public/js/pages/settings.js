//! Settings: how does this page look, and what does the gateway keep?

import { retention } from "../answers.js";
import { choice } from "../components/form.js";
import { tabs } from "../components/links.js";
import { head } from "../components/notice.js";
import { facts, inset, panel } from "../components/panel.js";
import { h } from "../dom.js";
import { exact, moment } from "../format.js";
import { LANGUAGES, code, language, t } from "../i18n.js";
import { address } from "../router.js";
import { THEMES, setLanguage, setTheme, theme } from "../shell.js";

export const title = "settings.title";

export async function load(api, _route, signal, role) {
  const [health, kept] = await Promise.all([
    api.get("/api/health", {}, signal),
    role === "member" ? null : api.get("/api/stats/retention", {}, signal),
  ]);
  return { health, kept: kept && retention(kept) };
}

export function render({ health, kept }, page) {
  return [
    head(t(title), parts("settings", page)),
    panel(t("settings.look"), inset(h("div", { class: "fields narrow" },
      choice("language", t("shell.language"), LANGUAGES, { value: code(), onchange: (event) => setLanguage(event.target.value) }),
      choice("theme", t("shell.theme"), THEMES.map((name) => [name, t(`theme.${name}`)]), { value: theme(), onchange: (event) => setTheme(event.target.value) })))),
    panel(t("settings.gateway"), inset(facts([
      [t("settings.version"), health.version ?? null],
      [t("settings.database"), health.database ?? null],
      [t("settings.role"), page.role && t(`role.${page.role}`)],
    ]))),
    kept && panel(t("settings.retention"), inset(
      facts([
        [t("settings.retention.requests"), kept.days === null ? t("settings.retention.forever") : t("settings.retention.days", { days: exact(kept.days, language()) })],
        [t("settings.retention.from"), kept.from && h("time", { datetime: kept.from }, moment(kept.from, language()))],
        [t("settings.retention.sums"), t("settings.retention.forever")],
      ]),
      h("p", { class: "hint" }, t("settings.retention.why"), " ", h("code", null, "LEDGER_RETENTION_DAYS")))),
  ];
}

/** The parts of the settings, each a page; only who may see them is shown the way. */
export function parts(current, { role }) {
  if (role === "member") return null;
  const known = ["settings", "settings/prices", ...(role === "admin" ? ["settings/audit"] : [])];
  const names = { settings: t("settings.general"), "settings/prices": t("prices.title"), "settings/audit": t("audit.title") };
  return tabs(t("settings.parts"), known.map((path) => [path, names[path]]), current, (path) => address(path));
}
