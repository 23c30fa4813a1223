//! How much of their windows the demo's logins have used, at any moment: now as the cast says, before and after in the same rhythm.

const HOUR = 3_600;

/** A seat's windows: how long they are, and how much of the running one is left when the demo begins; in seconds. */
export const WINDOWS = {
  "5h": { length: 5 * HOUR, left: 2 * HOUR + 1_400 },
  "7d": { length: 168 * HOUR, left: 73 * HOUR },
};
/** The most that an account which is not spent has used. */
const MOST = 0.98;

const begun = Math.floor(Date.now() / 1000);

/** What the provider says of a window of `account` at a time in seconds: `{ used, ends }`. */
export function reportAt(account, name, at) {
  const { length } = WINDOWS[name];
  const left = account.left?.[name] ?? WINDOWS[name].left;
  const cycle = Math.ceil((at - begun - left) / length);
  const ends = begun + left + cycle * length;
  const phase = 1 - (ends - at) / length;
  // The running window stands now where the cast says; each other one fills more or less, but always the same.
  const fills = cycle === 0 ? account.used[name] / (1 - left / length) : 0.5 + 0.5 * chance(cycle, account.name);
  return { used: Math.round(100 * Math.min(account.limited && name === "5h" && cycle === 0 ? 1 : MOST, fills * phase)) / 100, ends };
}

/** Whether the account's running window is spent at that time. */
export function isSpent(account, at) {
  return Boolean(account.limited) && reportAt(account, "5h", at).used >= 1;
}

function chance(cycle, name) {
  const mixed = Math.sin(cycle * 12.9898 + name.length * 7.233 + name.charCodeAt(name.length - 1)) * 43_758.5453;
  return mixed - Math.floor(mixed);
}
