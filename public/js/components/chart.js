//! One chart over time: uPlot draws it, and a table that only screen readers see says the same figures.

import { colour, h } from "../dom.js";
import { count } from "../format.js";
import { language, t } from "../i18n.js";

// Half the weight of its module: it comes as a script that the page names before this one.
const { uPlot } = globalThis;

const HEIGHT = 220;
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4], [2, 6], [6, 2, 2, 2, 2, 2]];
const HUES = 8;
/** Pixels. */
const THIN = 4;
const STEP_SECONDS = { minute: 60, hour: 3_600, day: 86_400 };

/** Steps of an axis that counts: nobody makes two and a half requests. */
const WHOLE = Array.from({ length: 39 }, (_, index) => [1, 2, 5][index % 3] * 10 ** Math.floor(index / 3));

const drawn = new Set();

/**
 * `times` are RFC 3339, `lines` are `{ name, values, hue?, total? }` with the greatest first; `hue` is a colour of tokens.css. With
 * `stacked` the lines are parts of a whole and stand on each other, else each is a line of its own and null is a gap.
 * `held` lines keep their value until the next one, and `full` is what the scale reaches at least. `format` writes a figure; `label` is
 * what the chart shows, and `told(index)` says which times the table has; without it all of them.
 */
export function chart({ label, times, step, lines, stacked, format, held = false, full = 0, told = () => true }) {
  const seconds = times.map((time) => Date.parse(time) / 1000);
  const named = lines.map((line, index) => ({ ...line, hue: line.hue ?? `series-${(index % HUES) + 1}`, dash: DASHES[index % DASHES.length] }));
  const key = legend(named, stacked, format);
  const canvas = h("div", { class: "chart-canvas", "aria-hidden": "true" });
  const figure = h("figure", { class: "chart", "aria-label": label }, canvas, key.node, hidden(label, times.map((time, index) => ({ time, index })).filter(({ index }) => told(index)), step, named, format));
  const state = { canvas, plot: null, width: 0 };
  const draw = () => {
    state.plot?.destroy();
    state.plot = new uPlot(options({ seconds, step, named, stacked, held, full, format, width: state.width, point: (index) => key.show(index, index === null ? null : when(seconds[index], step)) }), data(seconds, named, stacked), canvas);
  };
  state.redraw = () => state.width > 0 && draw();
  // Only the width matters, and only a change of it: otherwise the observer would hear its own drawing.
  new ResizeObserver(() => {
    if (!canvas.isConnected || canvas.clientWidth === state.width) return;
    state.width = canvas.clientWidth;
    state.redraw();
  }).observe(canvas);
  forgetGone();
  drawn.add(state);
  return figure;
}

// A page that is drawn anew leaves its charts behind; they listen to the window until they are destroyed.
function forgetGone() {
  for (const state of drawn) {
    if (state.plot === null || state.canvas.isConnected) continue;
    state.plot.destroy();
    drawn.delete(state);
  }
}

function redrawAll() {
  forgetGone();
  for (const state of drawn) state.redraw();
}
document.addEventListener("theme", redrawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);

// Of parts that stand on each other the tallest sum is drawn first and the lower ones over it.
function data(seconds, lines, stacked) {
  if (!stacked) return [seconds, ...lines.map(({ values }) => values)];
  const sums = [];
  for (const { values } of lines) {
    const below = sums.at(-1);
    sums.push(values.map((value, index) => (value ?? 0) + (below?.[index] ?? 0)));
  }
  return [seconds, ...sums.reverse()];
}

function options({ seconds, step, named, stacked, held, full, format, width, point }) {
  const [ink, grid, panel] = ["ink-dim", "line", "panel"].map(colour);
  const end = seconds.at(-1) + (stacked ? STEP_SECONDS[step] : 0);
  const axis = { stroke: ink, font: "11px system-ui, sans-serif", grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  // Where many bars share a phone's width, a line around each would leave nothing of it.
  const thin = width / seconds.length < THIN;
  const bars = uPlot.paths.bars({ size: [thin ? 1 : 0.84, 48], align: 1, radius: 0 });
  const style = ({ hue, dash }) => (stacked
    ? { paths: bars, fill: colour(hue), stroke: panel, width: thin ? 0 : 1, points: { show: false } }
    : { stroke: colour(hue), width: 2, dash, points: { show: seconds.length < 3 }, ...(held ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}), ...(named.length === 1 ? { fill: colour("wash") } : {}) });
  const series = named.map(style);
  return {
    width, height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !stacked } },
    padding: [10, 8, 0, 0],
    scales: { x: { range: [seconds[0], Math.max(end, seconds[0] + 1)] }, y: { range: (_, low, high) => [0, Math.max(full, high > 0 ? high * 1.06 : full ? 0 : 1)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 28, space: 64, values: (_, splits) => splits.map((at) => short(at, step)) },
      { ...axis, size: 52, space: 40, ...(format === count ? { incrs: WHOLE } : {}), values: (_, splits) => splits.map((value) => (value === null ? "" : format(value))) },
    ],
    series: [{}, ...(stacked ? series.reverse() : series)],
    hooks: { setCursor: [(plot) => point(plot.cursor.idx ?? null)] },
  };
}

/** The lines by name, with their sums; while a time is pointed at, with what they were then. */
function legend(lines, stacked, format) {
  const time = h("span", { class: "chart-time" });
  const values = lines.map(({ total }) => h("span", { class: "chart-value" }, total === undefined ? "" : format(total)));
  const swatch = ({ hue, dash }) => h("span", { class: stacked ? "swatch" : "swatch dash", style: `--hue: var(--${hue}); --dash: ${dash.length ? "dashed" : "solid"}` });
  const node = h("div", { class: "chart-key" },
    h("ul", null, lines.map((line, index) => h("li", null, swatch(line), h("span", { class: "chart-name", title: line.name }, line.name), values[index]))), time);
  const show = (index, at) => {
    time.textContent = at ?? "";
    for (const [place, { values: all, total }] of lines.entries()) {
      values[place].textContent = index === null ? (total === undefined ? "" : format(total)) : format(all[index] ?? null);
    }
  };
  return { node, show };
}

function hidden(label, times, step, lines, format) {
  return h("div", { class: "visually-hidden" }, h("table", null,
    h("caption", null, label),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, t("column.time")), lines.map(({ name }) => h("th", { scope: "col" }, name)))),
    h("tbody", null, times.map(({ time, index }) => h("tr", null,
      h("th", { scope: "row" }, when(Date.parse(time) / 1000, step)), lines.map(({ values }) => h("td", null, format(values[index] ?? null))))))));
}

// Days are those of UTC, by which the server counts them; hours and minutes are the reader's.
function short(seconds, step) {
  const form = step === "day" ? { month: "numeric", day: "numeric", timeZone: "UTC" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const at = new Date(seconds * 1000);
  const midnight = step !== "day" && at.getHours() === 0 && at.getMinutes() === 0;
  return new Intl.DateTimeFormat(language(), midnight ? { month: "numeric", day: "numeric" } : form).format(at);
}

function when(seconds, step) {
  const day = { month: "short", day: "numeric" };
  const form = step === "day" ? { ...day, weekday: "short", timeZone: "UTC" } : { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Intl.DateTimeFormat(language(), form).format(new Date(seconds * 1000));
}
