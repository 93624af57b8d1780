// Totals over time, one currency at a time; asked only when a reader opens it, since days that the
// gateway has not kept are calls to the providers.

import { now, read } from "./api.js";
import { drawChart } from "./chart.js";
import { $, make, select, set } from "./dom.js";
import { addDays, dayOf } from "./numbers.js";
import { TOTALS_SERIES } from "./queries.js";
import { getState } from "./state.js";
import { FAILURES, LABELS, TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Line} Line */

/** @type {Record<string, [number, string]>} days back, and the step */
const RANGES = { month: [28, "WEEK"], quarter: [91, "WEEK"], year: [365, "MONTH"] };
/** @type {any[]} */
let series = [];
/** @type {import("./types.d.ts").Answer | null} */
let drawn = null;
/** @type {AbortController | null} */
let asking = null;

const details = () => /** @type {HTMLDetailsElement} */ ($("over-time"));

/** Read days that lack figures again, when a reader asks for a refresh. */
export async function renewTotalsChart() {
  const lacks = series.some(({ points }) => points.some((/** @type {any} */ { total }) => !total?.complete));
  if (lacks || !drawn) await showTotalsChart(true);
}

/** Read the series if it is open, as for another day. @param {boolean} isAgain what is shown stays meanwhile */
async function showTotalsChart(isAgain) {
  if (!details().open) return;
  asking?.abort();
  asking = new AbortController();
  const figure = $("totals-chart");
  const caption = set(make("figcaption", "", LABELS.overTime ?? ""), { id: "totals-chart-title" });
  if (!isAgain) drawn = null;
  if (!drawn) figure.replaceChildren(caption, make("p", "hint", TEXT.loading));
  const to = getState().asOf || dayOf(new Date(now()));
  const [days, step] = RANGES[select("range").value] ?? [28, "WEEK"];
  try {
    const answer = await read(TOTALS_SERIES, { from: addDays(to, -days), to, step }, asking.signal);
    if (isAgain && answer === drawn) return;
    series = answer.data.balanceTotalsSeries || [];
    if (!series.length) throw new Error(answer.errors?.[0]?.message || TEXT.historyFailed);
    drawn = answer;
    fillCurrencies();
    draw();
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    if (name !== "AbortError" && !(isAgain && drawn)) figure.replaceChildren(caption, make("p", "problem", message));
  }
}

/** Read the series for another day, or another range. */
export const readTotalsChart = () => showTotalsChart(false);

function fillCurrencies() {
  const field = select("series-currency");
  const chosen = field.value;
  field.replaceChildren(...series.map(({ currency }) => new Option(currency, currency)));
  if (series.some(({ currency }) => currency === chosen)) field.value = chosen;
}

function draw() {
  const found = series.find(({ currency }) => currency === select("series-currency").value);
  if (!found) return;
  const figure = $("totals-chart");
  const title = TEXT.totalsOf(found.currency);
  const caption = figure.querySelector("figcaption") ?? set(make("figcaption", ""), { id: "totals-chart-title" });
  caption.textContent = title;
  figure.prepend(caption);
  drawChart(figure, [buildLine("bank", found.points), buildLine("ledger", found.points)]);
}

/** @param {"bank" | "ledger"} name @param {any[]} points @returns {Line} */
function buildLine(name, points) {
  return {
    title: LABELS[name] ?? "",
    points: points.map(({ day, total, problem }) => {
      // A total that lacks accounts is not to be compared with one that does not.
      const isWhole = total && total.complete;
      const lacks = total && !isWhole ? TEXT.someMissing(total.missing.length) : "";
      const why = FAILURES[problem?.code] || problem?.message || lacks;
      return { day, amount: (isWhole && total[name]?.amount) || null, ...(why ? { problem: why } : {}) };
    }),
  };
}

/** Remove the series of a reader who has left. */
export function forgetTotalsChart() {
  asking?.abort();
  series = [];
  drawn = null;
  details().open = false;
  $("totals-chart").replaceChildren();
}

export function startTotalsChart() {
  details().addEventListener("toggle", readTotalsChart);
  select("range").addEventListener("change", readTotalsChart);
  select("series-currency").addEventListener("change", draw);
}
