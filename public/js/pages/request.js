//! One request: what was asked, who answered, and what did it cost?

import { account, request } from "../answers.js";
import { details } from "../components/details.js";
import { head } from "../components/notice.js";
import { state } from "../components/state.js";
import { h } from "../dom.js";
import { t } from "../i18n.js";

export const title = "request.title";

export async function load(api, { params }, signal, role) {
  const [one, accounts] = await Promise.all([
    api.get(`/api/stats/requests/${encodeURIComponent(params.id)}`, {}, signal),
    role === "member" ? [] : api.all("/api/accounts", signal),
  ]);
  return { request: request(one), accounts: accounts.map(account) };
}

export function render({ request, accounts }) {
  const names = new Map(accounts.map(({ id, name }) => [id, name]));
  return [
    head(t(title), h("a", { class: "button", href: "#/requests" }, t("request.all"))),
    h("section", { class: "panel one" }, h("p", { class: "health" }, state("outcome", request.status), request.httpStatus === null ? null : h("span", { class: "dim" }, ` ${request.httpStatus}`)), details(request, names, new Map())),
  ];
}
