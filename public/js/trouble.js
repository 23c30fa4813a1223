//! Tells what kind of trouble an error is, so that the page can say what to do about it.

// A setting is named in capitals: ADMIN_TOKEN, ENCRYPTION_KEY, DATABASE_URL.
const SETTING = /\b[A-Z]+(?:_[A-Z]+)+\b/;

/** One of the `trouble.*` words. */
export function kind(error) {
  if (error.status === undefined) return "page";
  if (error.status === 0) return error.type === "timeout" ? "timeout" : "offline";
  if (error.status === 401) return "unauthenticated";
  if (error.status === 403) return "permission_denied";
  if (error.status === 404) return "not_found";
  if (error.status === 429) return "rate_limited";
  if (error.status >= 500 && SETTING.test(`${error.param ?? ""} ${error.message}`)) return "configuration";
  if (error.status === 503) return "database";
  if (error.status >= 500 || error.type === "foreign") return "internal";
  return "refused";
}
