//! Builds elements from data. Whatever comes from outside ends as a text node or an attribute, never as markup.

/** `h("a", { href, onclick }, "text", node, [more])`; null and false, as attribute or child, are left out. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) set(element, name, value);
  element.append(...nodes(children));
  return element;
}

/** A colour of tokens.css as this theme resolves it, for a canvas, which cannot read custom properties. */
export function colour(name) {
  const probe = h("span", { style: `color: var(--${name})`, hidden: true });
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (typeof value === "function") element.addEventListener(name.slice(2), value);
  // The content policy refuses a style attribute; the object model is allowed.
  else if (name === "style") element.style.cssText = value;
  else element.setAttribute(name, value === true ? "" : value);
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Replaces what `root` holds and puts the focus back on the control that had it, found by its nearest id. */
export function replace(root, children) {
  const active = document.activeElement;
  const anchor = root.contains(active) ? active.closest("[id]") : null;
  const place = anchor && controls(anchor).indexOf(active);
  root.replaceChildren(...nodes([children]));
  if (!anchor) return;
  const found = document.getElementById(anchor.id);
  const control = place >= 0 ? found && controls(found)[place] : found;
  control?.focus({ preventScroll: true });
}

function controls(element) {
  return [...element.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")];
}
