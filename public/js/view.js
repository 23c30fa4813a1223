//! One open page: loads, renders, keeps fresh, and says what goes wrong.

import { createApi } from "./api.js";
import { head, skeleton, trouble } from "./components/notice.js";
import { h, replace } from "./dom.js";
import { clock } from "./format.js";
import { language, t, word } from "./i18n.js";
import { poll } from "./live.js";
import { address } from "./router.js";
import { session } from "./session.js";
import { announce, banner, beat } from "./shell.js";
import { kind } from "./trouble.js";

const main = document.getElementById("main");

/**
 * A page is a module: `title`, `load(api, route, signal, role)`, `render(data, view)` and, if it lives, `every` in milliseconds;
 * `opened(view)` runs once it stands. Pages use the view's `route`, `api`, `role`, `mayChange`, `refresh`, `forgetQuery`,
 * `act` and `settle`.
 */
export class View {
  #leaving = new AbortController();
  #onSignedOut;
  #arriving;
  #first;
  #loop;
  #data = null;
  #seen = null;
  #failing = false;

  /** `same`: this page was open just now, with other filters; `first`: no other was. `onSignedOut(error)` takes a 401. */
  constructor(route, same, first, onSignedOut) {
    this.route = route;
    this.api = createApi(session().credential);
    this.role = session().role;
    this.mayChange = this.role !== "viewer" && this.role !== "member";
    this.refresh = () => this.#loop.now();
    this.#arriving = !same;
    this.#first = first;
    this.#onSignedOut = onSignedOut;
    if (this.#arriving) replace(main, [head(t(route.page.title)), skeleton()]);
    main.setAttribute("aria-busy", "true");
    // For whoever waits for this view: the address changes a moment before it.
    main.dataset.address = location.hash;
    this.#loop = poll(() => this.#feed(), { every: route.page.every, busy });
    this.#loop.now();
  }

  /** The address without its filters: what it asked to be done once is not asked for again. */
  forgetQuery() {
    this.route.query = {};
    history.replaceState(null, "", address(this.route.path));
    main.dataset.address = location.hash;
  }

  /** Ends it: what is still on its way is given up. */
  leave() {
    this.#leaving.abort();
    this.#loop.stop();
  }

  /** Does one thing and says how it went; then shows what is so now. */
  async act(work, sentence) {
    try {
      announce(sentence(await work()));
    } catch (error) {
      if (error.status === 401) return this.#onSignedOut(error);
      announce([word("trouble", kind(error)), error.message].filter(Boolean).join(" "));
    }
    return this.refresh();
  }

  /** After a dialog's work is done: closes it, says so, shows what is so now. */
  settle(dialog, sentence) {
    dialog?.close();
    announce(sentence);
    this.refresh();
  }

  async #feed() {
    const { page } = this.route;
    try {
      const data = await page.load(this.api, this.route, this.#leaving.signal, this.role);
      if (!this.#leaving.signal.aborted) this.#paint(data);
    } catch (error) {
      if (this.#leaving.signal.aborted) return;
      this.#fail(error);
      throw error;
    }
  }

  #paint(data) {
    const first = this.#data === null;
    this.#data = data;
    this.#seen = new Date();
    replace(main, this.route.page.render(data, this));
    main.removeAttribute("aria-busy");
    banner(null);
    beat(this.route.page.every ? t("shell.live") : null);
    if (this.#failing) announce(t("shell.again"));
    this.#failing = false;
    if (first && this.#arriving) this.#arrive();
  }

  // The heading takes the focus after a walk from another page, as a page load would have it; not at the first one.
  #arrive() {
    if (!this.#first) {
      scrollTo(0, 0);
      document.getElementById("title")?.focus({ preventScroll: true });
    }
    this.route.page.opened?.(this);
  }

  #fail(error) {
    if (error.status === 401) return this.#onSignedOut(error);
    if (error.status === undefined) console.error(error);
    const what = word("trouble", kind(error));
    main.removeAttribute("aria-busy");
    beat(null);
    if (this.#data === null) {
      // Its panel is an alert and speaks for itself.
      replace(main, [head(t(this.route.page.title)), trouble(error, h("button", { type: "button", onclick: this.refresh }, t("trouble.retry")))]);
    } else {
      banner([what, t("shell.known", { time: clock(this.#seen, Date.now(), language()) }), this.#nextTry()].join(" "));
      if (!this.#failing) announce(what);
    }
    this.#failing = true;
  }

  #nextTry() {
    return this.route.page.every ? t("shell.next_try", { seconds: Math.round(this.#loop.wait() / 1000) }) : "";
  }
}

/** A pointer that came to rest on a chart was left there, and is no reason to show old figures. */
const POINTING_MS = 10_000;
let pointedAt = -Infinity;
document.addEventListener("pointermove", (event) => {
  if (event.target.closest(".chart-canvas")) pointedAt = performance.now();
});

// Nothing moves while a question is open, text is being selected, a form is being filled or a chart is pointed at.
function busy() {
  return document.querySelector("dialog[open], form :focus") !== null || !getSelection().isCollapsed
    || performance.now() - pointedAt < POINTING_MS || isTyping(document.activeElement);
}

// Half a word in a search that a fresh list would take away.
function isTyping(at) {
  return at instanceof HTMLInputElement && at.value !== at.defaultValue;
}
