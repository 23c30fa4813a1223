//! Settings: how does this page look, and what does the gateway keep?

import { choice } from "../components/form.js";
import { tabs } from "../components/links.js";
import { head } from "../components/notice.js";
import { facts, inset, panel } from "../components/panel.js";
import { h } from "../dom.js";
import { LANGUAGES, code, t } from "../i18n.js";
import { address } from "../router.js";
import { THEMES, setLanguage, setTheme, theme } from "../shell.js";

export const title = "settings.title";

export async function load(api, _route, signal) {
  return { health: await api.get("/api/health", {}, signal) };
}

export function render({ health }, page) {
  return [
    head(t(title), parts("settings", page)),
    panel(t("settings.look"), inset(h("div", { class: "fields narrow" },
      choice("language", t("shell.language"), LANGUAGES, { value: code(), onchange: (event) => setLanguage(event.target.value) }),
      choice("theme", t("shell.theme"), THEMES.map((name) => [name, t(`theme.${name}`)]), { value: theme(), onchange: (event) => setTheme(event.target.value) })))),
    panel(t("settings.gateway"), inset(facts([
      [t("settings.version"), health.version ?? null],
      [t("settings.database"), health.database ?? null],
      [t("settings.retention"), [t("settings.retention.why"), " ", h("code", null, "LEDGER_RETENTION_DAYS")]],
      [t("settings.role"), page.role && t(`role.${page.role}`)],
    ]))),
  ];
}

/** The parts of the settings, each a page; only who may see them is shown the way. */
export function parts(current, { role }) {
  if (role === "member") return null;
  const known = ["settings", "settings/prices", ...(role === "admin" ? ["settings/audit"] : [])];
  const names = { settings: t("settings.general"), "settings/prices": t("prices.title"), "settings/audit": t("audit.title") };
  return tabs(t("settings.parts"), known.map((path) => [path, names[path]]), current, (path) => address(path));
}
