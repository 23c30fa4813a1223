//! Native dialogs: one question each, gone when answered. Closing gives the focus back by itself.

import { h, replace } from "../dom.js";
import { t, word } from "../i18n.js";
import { kind } from "../trouble.js";
import { said } from "./notice.js";

/** Opens a dialog with a title. */
export function open(title, content) {
  const heading = h("h2", { id: "dialog-title" }, title);
  const dialog = h("dialog", { "aria-labelledby": heading.id }, heading, content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks in a form. `submit(form)` does the work and returns its answer; what it throws is shown in the dialog, at the
 * field that the server names if there is one. `done(answer, dialog)` decides what follows; by default it closes.
 */
export function ask({ title, content, action, danger = false, submit, done = (_, dialog) => dialog.close() }) {
  const problem = h("div", { class: "problem", role: "alert" });
  const button = h("button", { class: danger ? "danger" : "primary" }, action);
  const cancel = h("button", { type: "button", onclick: () => dialog.close() }, t("dialog.cancel"));
  const form = h("form", { autocomplete: "off" }, content, problem, h("div", { class: "actions end" }, cancel, button));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear(form, problem);
    button.disabled = true;
    try {
      done(await submit(form), dialog);
    } catch (error) {
      blame(form, problem, error);
    } finally {
      button.disabled = false;
    }
  });
  form.addEventListener("input", (event) => event.target.removeAttribute("aria-invalid"));
  const dialog = open(title, form);
  return dialog;
}

/** Puts something into an open dialog that must not be lost by a slip: from now on Escape does not close it. */
export function turn(dialog, title, content) {
  dialog.setAttribute("closedby", "none");
  // A prevented `cancel` would hold only once: browsers let the second Escape through.
  dialog.addEventListener("keydown", (event) => event.key === "Escape" && event.preventDefault());
  const heading = h("h2", { id: "dialog-title", tabindex: "-1" }, title);
  replace(dialog, [heading, content]);
  heading.focus();
}

function clear(form, problem) {
  problem.replaceChildren();
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

function blame(form, problem, error) {
  const field = error.param && form.elements.namedItem(error.param);
  if (field instanceof Element) {
    field.closest("details")?.setAttribute("open", "");
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
  // Not the server's refusal but a fault of this page: the console should have it.
  if (error.status === undefined) console.error(error);
  problem.replaceChildren(h("p", null, h("strong", null, word("trouble", kind(error)))), said(error) ?? "");
}
