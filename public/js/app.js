//! Joins the pieces: an address becomes a view, or the sign-in when nobody is signed in.

import { replace } from "./dom.js";
import { choose, speak, t } from "./i18n.js";
import { forget } from "./issued.js";
import { signIn } from "./pages/sign-in.js";
import { placesOf, routesOf } from "./places.js";
import { match } from "./router.js";
import { end, session } from "./session.js";
import { banner, drawTop, markDemo, remembered } from "./shell.js";
import { View } from "./view.js";

let view = null;

function show() {
  if (!session()) return showSignIn();
  const { role } = session();
  const route = match(routesOf(role), location.hash);
  const before = view && identity(view.route);
  close();
  document.title = t("shell.page", { page: t(route.page.title) });
  drawTop({ places: placesOf(role), current: route.place }, () => signOut());
  view = new View(route, before === identity(route), before === null, signOut);
}

// Two views of one page that differ in their filters alone are one place; two accounts are two.
function identity({ path, params }) {
  return JSON.stringify([path, params]);
}

function showSignIn(reason = null) {
  close();
  document.title = t("shell.page", { page: t("signin.title") });
  drawTop(null);
  replace(document.getElementById("main"), signIn(reason, show));
  document.getElementById("credential").focus();
}

function close() {
  view?.leave();
  view = null;
  banner(null);
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}

/** `reason` is the error that ended the session; none when the reader ended it. */
function signOut(reason = null) {
  end();
  forget();
  showSignIn(reason);
}

document.getElementById("skip").addEventListener("click", (event) => {
  // The address belongs to the views: a jump within the page must not change it.
  event.preventDefault();
  document.getElementById("main").focus();
});
addEventListener("hashchange", show);
document.addEventListener("language", show);
speak(choose(remembered("language"), navigator.languages));
show();
markDemo();
