//! Who is signed in, for as long as the tab lives. The credential is never in localStorage and never in a cookie.

const NAME = "session";
let kept = null;

/** `{ credential, role }`, or null. `role` is null when the server did not say. */
export function session() {
  if (kept) return kept;
  try {
    kept = JSON.parse(sessionStorage.getItem(NAME));
  } catch {
    kept = null;
  }
  return kept;
}

/** Remembers the credential until the tab closes. */
export function begin(credential, role) {
  kept = { credential, role };
  store((storage) => storage.setItem(NAME, JSON.stringify(kept)));
}

/** Forgets it. */
export function end() {
  kept = null;
  store((storage) => storage.removeItem(NAME));
}

function store(change) {
  try {
    change(sessionStorage);
  } catch {
    // Storage is switched off: the session lasts until the page is reloaded.
  }
}
