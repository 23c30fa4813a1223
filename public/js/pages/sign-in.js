//! Sign in: with the operator's token, or a key that may see more than its own.

import { createApi } from "../api.js";
import { said } from "../components/notice.js";
import { h } from "../dom.js";
import { t, word } from "../i18n.js";
import { begin } from "../session.js";
import { kind } from "../trouble.js";

/** The form; `reason` is the error that ended an earlier session, `done` is called once signed in. */
export function signIn(reason, done) {
  const problem = h("div", { class: "problem", role: "alert" }, reason ? message(reason, t("signin.ended")) : null);
  const input = h("input", { id: "credential", type: "password", required: true, autocomplete: "current-password", spellcheck: "false", "aria-describedby": "credential-hint" });
  const button = h("button", { class: "primary" }, t("signin.submit"));
  const form = h("form", { class: "panel signin" },
    h("img", { src: "/favicon.svg", alt: "", width: "40", height: "40" }),
    h("h1", { id: "title", tabindex: "-1" }, t("signin.title")),
    h("div", { class: "field" },
      h("input", { type: "text", autocomplete: "username", value: "LLM Gateway", hidden: true, tabindex: "-1" }),
      h("label", { for: "credential" }, t("signin.credential")), input,
      h("p", { class: "hint", id: "credential-hint" }, t("signin.hint"))),
    problem, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.replaceChildren();
    button.disabled = true;
    try {
      const credential = input.value.trim();
      begin(credential, await roleOf(credential));
      done();
    } catch (error) {
      problem.replaceChildren(...message(error));
      input.focus();
    } finally {
      button.disabled = false;
    }
  });
  if (!reason) sayWhatToSet(problem);
  return form;
}

/** Before anybody types a token: a gateway that is not set up says what to set. */
async function sayWhatToSet(problem) {
  try {
    await createApi("").get("/api/health");
  } catch (error) {
    if (kind(error) === "configuration" && !problem.hasChildNodes()) problem.replaceChildren(...message(error));
  }
}

function message(error, text = word("signin.remedy", kind(error))) {
  return [h("p", null, h("strong", null, word("trouble", kind(error)))), h("p", null, text), said(error)].filter(Boolean);
}

// Only an issued key has a role to ask for; the operator's token may do everything.
async function roleOf(credential) {
  const api = createApi(credential);
  if (credential.startsWith("gw_")) return (await api.get("/api/keys/me")).role ?? null;
  await api.get("/api/accounts", { limit: 1 });
  return "admin";
}
