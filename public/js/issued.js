//! The keys issued in this tab, so that the Connect page can fill them in. In memory only: a reload forgets them.

const keys = new Map();

/** Remembers a secret until the tab goes. */
export function remember(id, name, secret) {
  keys.set(id, { id, name, secret });
}

/** What this tab issued, newest first. */
export function issued() {
  return [...keys.values()].reverse();
}

/** Forgets them, at sign-out. */
export function forget() {
  keys.clear();
}
