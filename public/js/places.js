//! Which pages there are, and who sees which of them.

import * as account from "./pages/account.js";
import * as accounts from "./pages/accounts.js";
import * as audit from "./pages/audit.js";
import * as connect from "./pages/connect.js";
import * as key from "./pages/key.js";
import * as keys from "./pages/keys.js";
import * as overview from "./pages/overview.js";
import * as prices from "./pages/prices.js";
import * as request from "./pages/request.js";
import * as requests from "./pages/requests.js";
import * as routing from "./pages/routing.js";
import * as settings from "./pages/settings.js";

const ALL = [
  { path: "overview", place: "overview", page: overview },
  { path: "accounts", place: "accounts", page: accounts },
  { path: "accounts/:id", place: "accounts", page: account },
  { path: "keys", place: "keys", page: keys },
  { path: "keys/:id", place: "keys", page: key },
  { path: "requests", place: "requests", page: requests },
  { path: "requests/:id", place: "requests", page: request },
  { path: "routing", place: "routing", page: routing },
  { path: "connect", place: "connect", page: connect },
  { path: "settings", place: "settings", page: settings },
  { path: "settings/prices", place: "settings", page: prices },
  { path: "settings/audit", place: "settings", page: audit },
];

// The holder of a key that may only call sees that key, and what it did.
const OWN = [
  { path: "me", place: "me", page: key },
  ...ALL.filter(({ path }) => ["requests", "requests/:id", "connect", "settings"].includes(path)),
];

/** The routes of a role; the first one is where it begins. */
export function routesOf(role) {
  return role === "member" ? OWN : ALL;
}

/** The places that stand in the head of the page, in their order. */
export function placesOf(role) {
  return [...new Set(routesOf(role).map(({ place }) => place))];
}
