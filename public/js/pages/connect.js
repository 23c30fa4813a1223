//! Connect: which lines point my client at this gateway?

import { snippet } from "../components/copy.js";
import { tabs } from "../components/links.js";
import { head } from "../components/notice.js";
import { h } from "../dom.js";
import { t, word } from "../i18n.js";
import { issued } from "../issued.js";
import { address } from "../router.js";
import { CLIENTS, PLACEHOLDER, steps } from "../snippets.js";

export const title = "connect.title";

export async function load(_api, { query }) {
  const client = query.client in CLIENTS ? query.client : "claude-code";
  const places = CLIENTS[client];
  const on = places.includes(query.on) ? query.on : places.includes("powershell") && isWindows() ? "powershell" : places[0];
  const keys = issued();
  return { client, on, keys, chosen: keys.find(({ id }) => id === query.key) ?? null, url: location.origin };
}

export function render({ client, on, keys, chosen, url }, page) {
  const to = (change) => address("connect", { client, on, key: chosen?.id, ...change });
  return [
    head(t(title)),
    h("section", { class: "panel connect" },
      h("dl", { class: "facts" },
        h("div", null, h("dt", null, t("connect.url")), h("dd", null, h("code", null, url))),
        h("div", null, h("dt", null, h("label", { for: "connect-key" }, t("connect.key"))), h("dd", null, chooser(keys, chosen, to)))),
      keys.length === 0 ? h("p", { class: "hint" }, t("connect.no_key"), page.mayChange ? [" ", h("a", { href: "#/keys?issue=1" }, t("connect.issue"))] : null) : null,
      tabs(t("connect.client"), Object.keys(CLIENTS).map((name) => [name, word("client", name)]), client, (name) => to({ client: name, on: null })),
      tabs(t("connect.on"), CLIENTS[client].map((name) => [name, word("on", name)]), on, (name) => to({ on: name })),
      h("ol", { class: "steps" }, steps(client, on, url, chosen?.secret ?? PLACEHOLDER).map(step))),
  ];
}

function chooser(keys, chosen, to) {
  const options = [["", PLACEHOLDER], ...keys.map(({ id, name, secret }) => [id, `${name} (${secret.slice(0, 10)}…)`])];
  return h("select", { id: "connect-key", onchange: (event) => { location.hash = to({ key: event.target.value }); } },
    options.map(([value, text]) => h("option", { value, selected: value === (chosen?.id ?? "") }, text)));
}

function step({ label, values, text, note }) {
  return h("li", null, snippet(t(label, values), text), note ? h("p", { class: "hint" }, t(note)) : null);
}

function isWindows() {
  return /windows/i.test(navigator.userAgent);
}
