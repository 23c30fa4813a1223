//! A place to drop a file, or to choose one: its text goes into a form's field and nowhere else.

import { h } from "../dom.js";
import { t } from "../i18n.js";

/** A login file is a few kilobytes; what is larger is another file. */
const LARGEST = 256 * 1024;

/** The field `name` holds the text of the file. `file` is one that was dropped before. */
export function dropZone(name, label, hint, file = null) {
  const contents = h("input", { type: "hidden", name, "data-kind": "text" });
  const picker = h("input", { type: "file", class: "visually-hidden", id: `field-${name}`, accept: ".json,application/json", required: !file, "aria-describedby": `hint-${name}`, onchange: () => take(picker.files[0]) });
  const chosen = h("span", { class: "dim", role: "status" }, t("drop.here"));
  const zone = h("div", { class: "drop", ondragover: hover, ondragleave: () => zone.classList.remove("over"), ondrop: dropped },
    picker, h("label", { for: picker.id, class: "drop-label" }, label), chosen);

  async function take(given) {
    if (!given) return;
    const fits = given.size <= LARGEST;
    contents.value = fits ? await given.text() : "";
    picker.required = !fits;
    chosen.textContent = fits ? given.name : t("drop.large", { name: given.name });
  }
  function hover(event) {
    event.preventDefault();
    zone.classList.add("over");
  }
  function dropped(event) {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files[0]);
  }
  take(file);
  return h("div", { class: "field" }, zone, contents, h("p", { class: "hint", id: `hint-${name}` }, hint));
}
