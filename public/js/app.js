//! Joins the pieces: an address becomes a view, or the sign-in when nobody is signed in.

import { replace } from "./dom.js";
import { choose, speak, t } from "./i18n.js";
import { forget } from "./issued.js";
import * as accounts from "./pages/accounts.js";
import * as connect from "./pages/connect.js";
import * as keys from "./pages/keys.js";
import * as overview from "./pages/overview.js";
import * as requests from "./pages/requests.js";
import { signIn } from "./pages/sign-in.js";
import { match } from "./router.js";
import { end, session } from "./session.js";
import { banner, drawTop, remembered, store } from "./shell.js";
import { View } from "./view.js";

const ROUTES = [
  { path: "overview", page: overview },
  { path: "accounts", page: accounts },
  { path: "keys", page: keys },
  { path: "requests", page: requests },
  { path: "connect", page: connect },
];

let view = null;

function show() {
  if (!session()) return showSignIn();
  const route = match(ROUTES, location.hash);
  const before = view?.route.path;
  close();
  document.title = t("shell.page", { page: t(route.page.title) });
  drawTop(route.path, { onLanguage, onSignOut: () => signOut() });
  view = new View(route, before, signOut);
}

function showSignIn(reason = null) {
  close();
  document.title = t("shell.page", { page: t("signin.title") });
  drawTop(null, { onLanguage });
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

function onLanguage(code) {
  store("language", code);
  speak(code);
  show();
}

document.getElementById("skip").addEventListener("click", (event) => {
  // The address belongs to the views: a jump within the page must not change it.
  event.preventDefault();
  document.getElementById("main").focus();
});
addEventListener("hashchange", show);
speak(choose(remembered("language"), navigator.languages));
show();
