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
/** @type {AbortController | null} */
let asking = null;

const details = () => /** @type {HTMLDetailsElement} */ ($("over-time"));

/** Read the series again if it is open, as for another day. */
export async function showTotalsChart() {
  if (!details().open) return;
  asking?.abort();
  asking = new AbortController();
  const figure = $("totals-chart");
  const caption = set(make("figcaption", "", LABELS.overTime ?? ""), { id: "totals-chart-title" });
  figure.replaceChildren(caption, make("p", "hint", TEXT.loading));
  const to = getState().asOf || dayOf(new Date(now()));
  const [days, step] = RANGES[select("range").value] ?? [28, "WEEK"];
  try {
    const answer = await read(TOTALS_SERIES, { from: addDays(to, -days), to, step }, asking.signal);
    series = answer.data.balanceTotalsSeries || [];
    if (!series.length) throw new Error(answer.errors?.[0]?.message || TEXT.historyFailed);
    fillCurrencies();
    draw();
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    if (name !== "AbortError") figure.replaceChildren(caption, make("p", "problem", message));
  }
}

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
  figure.replaceChildren(set(make("figcaption", "", title), { id: "totals-chart-title" }));
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
  details().open = false;
  $("totals-chart").replaceChildren();
}

export function startTotalsChart() {
  details().addEventListener("toggle", showTotalsChart);
  select("range").addEventListener("change", showTotalsChart);
  select("series-currency").addEventListener("change", draw);
}
