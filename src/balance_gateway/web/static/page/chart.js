// Lines over days as SVG, with a slider to read each day and a table of the same figures. Amounts
// stay text: a number only places a point, and is never shown.

import { make, set } from "./dom.js";
import { showAmount, showDay } from "./numbers.js";
import { TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Line} Line */
/** @typedef {import("./types.d.ts").Point} Point */

const WIDTH = 800;
const HEIGHT = 250;
const [LEFT, RIGHT, TOP, BOTTOM] = [8, WIDTH - 8, 34, HEIGHT - 38];

/** @param {string} tag @param {Record<string, string | number>} attributes @param {string} [text] */
function node(tag, attributes, text = "") {
  const made = set(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes);
  made.textContent = text;
  return made;
}

/** @param {Point[]} points a day without a figure interrupts the line
 * @param {(index: number) => number} x @param {(amount: string) => number} y */
function buildPath(points, x, y) {
  let path = "";
  points.forEach(({ amount }, n) => {
    if (amount === null) return;
    const isAfterGap = n === 0 || points[n - 1]?.amount === null;
    path += `${isAfterGap ? "M" : "L"}${x(n).toFixed(1)} ${y(amount).toFixed(1)}`;
  });
  return path;
}

/** Draw the days that have a gap on both sides. @param {Line} line @param {number} index of the line
 * @param {(index: number) => number} x @param {(amount: string) => number} y */
function makeDots({ points }, index, x, y) {
  return points.flatMap(({ amount }, n) => {
    const isAlone = (points[n - 1]?.amount ?? null) === null && (points[n + 1]?.amount ?? null) === null;
    if (amount === null || !isAlone) return [];
    return [node("circle", { class: `dot dot-${index}`, cx: x(n), cy: y(amount), r: 6 })];
  });
}

/** @param {Line[]} lines @returns {HTMLElement | null} how many days lack a figure because of a failure */
function makeLacks(lines) {
  const points = lines[0]?.points ?? [];
  const failed = points.filter(({ problem }) => problem);
  if (!failed.length) return null;
  return make("p", "hint old", TEXT.daysLacking(failed.length, points.length, failed[0]?.problem ?? ""));
}

/**
 * Draw lines of the same days.
 *
 * @param {HTMLElement} figure with a figcaption; its other children are replaced
 * @param {Line[]} lines the first is solid, the second dashed
 */
export function drawChart(figure, lines) {
  const caption = /** @type {HTMLElement} */ (figure.querySelector("figcaption"));
  const isOpen = figure.querySelector("details")?.open ?? false;
  const before = /** @type {HTMLInputElement | null} */ (figure.querySelector(".slider"));
  const amounts = lines.flatMap(({ points }) => points.flatMap(({ amount }) => (amount === null ? [] : [amount])));
  if (!amounts.length) {
    const lacks = makeLacks(lines) ?? make("p", "hint", TEXT.historyNone);
    figure.replaceChildren(caption, lacks, makeTable(lines, isOpen));
    return;
  }
  amounts.sort((one, other) => Number(one) - Number(other));
  const [low, high] = [amounts[0] ?? "", amounts.at(-1) ?? ""];
  const count = lines[0]?.points.length ?? 0;
  const x = (/** @type {number} */ n) => LEFT + (n * (RIGHT - LEFT)) / Math.max(count - 1, 1);
  const span = Number(high) - Number(low);
  const y = (/** @type {string} */ amount) =>
    span ? BOTTOM - ((BOTTOM - TOP) * (Number(amount) - Number(low))) / span : (TOP + BOTTOM) / 2;
  const chart = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": caption.id });
  const scale = span ? [low, high] : [low];
  chart.append(...scale.map((each) => node("line", { class: "grid", x1: LEFT, x2: RIGHT, y1: y(each), y2: y(each) })));
  const days = lines[0]?.points.map(({ day }) => day) ?? [];
  chart.append(
    node("text", { x: LEFT, y: HEIGHT - 6 }, showDay(days[0] ?? "")),
    node("text", { x: RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, showDay(days.at(-1) ?? "")),
  );
  lines.forEach(({ points }, n) => chart.append(node("path", { class: `line line-${n}`, d: buildPath(points, x, y) })));
  chart.append(
    ...lines.flatMap((line, n) => makeDots(line, n, x, y)),
    ...scale.map((each) => node("text", { x: LEFT, y: y(each) - 5 }, showAmount(each))),
  );
  const cross = node("line", { class: "cross", y1: TOP, y2: BOTTOM, x1: -10, x2: -10 });
  chart.append(cross);
  // The same days again leave a reader at the day that was chosen.
  const chosen = before && Number(before.max) === days.length - 1 ? Number(before.value) : days.length - 1;
  const slider = makeSlider(lines, days, chosen, (n) => set(cross, { x1: x(n), x2: x(n) }));
  const lacks = makeLacks(lines);
  figure.replaceChildren(caption, makeLegend(lines), ...(lacks ? [lacks] : []), chart, ...slider, makeTable(lines, isOpen));
}

/** @param {Line[]} lines */
function makeLegend(lines) {
  const entries = lines.map(({ title }, n) => {
    const sample = node("svg", { viewBox: "0 0 30 8", class: "sample", "aria-hidden": "true" });
    sample.append(node("path", { class: `line line-${n}`, d: "M2 4H28" }));
    return make("span", "", sample, title);
  });
  return make("p", "legend", ...entries);
}

/** @param {Line[]} lines @param {number} n @returns {string} */
function describeDay(lines, n) {
  const figures = lines.map(({ title, points }) => {
    const amount = points[n]?.amount;
    return `${title} ${amount === null || amount === undefined ? TEXT.gap : showAmount(amount)}`;
  });
  return TEXT.dayFigures(showDay(lines[0]?.points[n]?.day ?? ""), figures.join(", "));
}

/** @param {Line[]} lines @param {string[]} days @param {number} chosen @param {(n: number) => void} onMove */
function makeSlider(lines, days, chosen, onMove) {
  const slider = set(make("input", "slider"), {
    type: "range", min: 0, max: days.length - 1, "aria-label": TEXT.dayOf,
  });
  slider.value = String(chosen);
  // The slider says it itself: a screen reader would hear each day twice.
  const shown = set(make("output", "hint", describeDay(lines, chosen)), { "aria-live": "off" });
  if (chosen < days.length - 1) onMove(chosen);
  slider.setAttribute("aria-valuetext", shown.textContent || "");
  slider.addEventListener("input", () => {
    const n = Number(slider.value);
    onMove(n);
    shown.textContent = describeDay(lines, n);
    slider.setAttribute("aria-valuetext", shown.textContent);
  });
  return [slider, shown];
}

/** @param {Line[]} lines newest day first @param {boolean} isOpen */
function makeTable(lines, isOpen) {
  const head = make("tr", "", set(make("th", "", TEXT.dayOf), { scope: "col" }),
    ...lines.map(({ title }) => set(make("th", "amount", title), { scope: "col" })));
  const days = lines[0]?.points ?? [];
  const rows = days.map(({ day }, n) =>
    make("tr", "", set(make("th", "", showDay(day)), { scope: "row" }),
      ...lines.map(({ points }) => {
        const point = points[n];
        const isKnown = point && point.amount !== null;
        return make("td", isKnown ? "amount" : "amount none",
          isKnown ? showAmount(/** @type {string} */ (point.amount)) : point?.problem || TEXT.gap);
      })));
  const table = make("table", "days", make("thead", "", head), make("tbody", "", ...rows.reverse()));
  const details = make("details", "", make("summary", "", TEXT.historyTable), table);
  details.open = isOpen;
  return details;
}
