// The details of one account, beside the table: figures, history, opening balance, and changes to it.

import { read } from "./api.js";
import { describeFailure, makeAge, makeAmount, makeChip } from "./cells.js";
import { drawChart } from "./chart.js";
import { $, button, make, makeFacts, set } from "./dom.js";
import { addDays, showAmount, showDay, showDayOf, showInstant } from "./numbers.js";
import { showExplainButton, startExplaining } from "./explain.js";
import { hideOpeningForm, showOpeningForm, startOpeningForm } from "./opening.js";
import { ACCOUNT, SERIES } from "./queries.js";
import { showUnsettled, startSettling } from "./settle.js";
import { change, getState } from "./state.js";
import { FAILURES, FEEDS, LABELS, MISSING_LONG, PROBLEM_FIELDS, PROVIDERS, SOURCES, STATES, TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Answer} Answer */
/** @typedef {import("./types.d.ts").Line} Line */
/** @typedef {import("./types.d.ts").Problem} Problem */

const DAYS = 90;
/** Providers whose days cost no call; of the others a week is a point, unless a reader wants more. */
const FREE = ["LOCAL", "STATEMENT_FILE"];

const dialog = /** @type {HTMLDialogElement} */ ($("drawer"));
/** @type {{canWrite: boolean, canExplain: boolean, refresh: () => Promise<void>}} */
let page = { canWrite: false, canExplain: false, refresh: async () => {} };
/** The answer that is shown; the same one again changes nothing. @type {Answer | null} */
let shown = null;
let shownSeries = "";
/** What the chart shows. @type {{key: string, answer: Answer | null}} */
let drawnSeries = { key: "", answer: null };
let isDaily = false;
/** Whether the drawer closes though the account stays chosen. */
let isLeaving = false;
/** @type {AbortController | null} */
let asking = null;

/** Say what the reader may do, and how the page is read again. @param {typeof page} options */
export function allowInDrawer(options) {
  page = options;
}

/** Open, fill or close the drawer as the state says. */
export function showDrawer() {
  const { account } = getState();
  if (!account) {
    if (dialog.open) dialog.close();
    return;
  }
  if (!dialog.open) {
    clear();
    showExplainButton(page.canExplain);
    dialog.showModal();
  }
  void readAccount();
}

function clear() {
  shown = null;
  shownSeries = "";
  drawnSeries = { key: "", answer: null };
  isDaily = false;
  for (const id of ["figures", "opening", "identity", "problems", "chart"]) $(`account-${id}`).replaceChildren();
  $("account-status").textContent = "";
  $("account-title").textContent = getState().account;
  $("account-chart").hidden = true;
  $("unsettled").hidden = true;
  hideOpeningForm();
}

/** Hide the account of a reader who has left; the address keeps it. */
export function hideDrawer() {
  isLeaving = dialog.open;
  dialog.close();
}

/** Read the open account again; what is typed stays. */
export async function readAccount() {
  const { account: id, asOf } = getState();
  if (!id) return;
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  if (!shown) $("account-status").textContent = TEXT.loading;
  try {
    const answer = await read(ACCOUNT, { id, asOf: asOf || null }, signal);
    if ($("account-status").textContent === TEXT.loading) $("account-status").textContent = "";
    if (answer !== shown) showAccount(answer);
    shown = answer;
    if (answer.data.bankAccount) await readSeries(answer.data.bankAccount, signal);
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    if (name !== "AbortError") $("account-status").textContent = message;
  }
}

/** @param {Answer} answer */
function showAccount({ data, errors }) {
  const account = data.bankAccount;
  showProblems(errors || []);
  if (!account) return;
  const failure = errors?.find(({ path }) => path?.[1] === "openingBalance");
  $("account-title").textContent = account.name;
  document.title = TEXT.titleOf([account.name, LABELS.title ?? ""]);
  $("account-figures").replaceChildren(makeFigures(account));
  $("account-opening").replaceChildren(makeOpening(account, failure));
  $("account-identity").replaceChildren(makeIdentity(account));
  const again = async () => {
    await page.refresh();
  };
  showUnsettled(account.unsettledWrite, account.currency, page.canWrite, again);
  if (page.canWrite && !failure) showOpeningForm(account, again);
  else hideOpeningForm();
}

/** @param {any} account */
function makeFigures({ balance, currency, latestBank, bankFeed }) {
  if (!balance) return make("p", "hint", TEXT.unknown);
  const { freshness } = balance;
  const why = [balance.bankMissing, balance.ledgerMissing, balance.differenceMissing];
  const reasons = [...new Set(why.filter(Boolean))].map((each) => MISSING_LONG[each] || each);
  const age = make("span", "", makeAge(freshness.observedAt), freshness.state === "STALE" ? " " : null,
    freshness.state === "STALE" ? makeChip("warn", LABELS.stale ?? "") : null);
  const amount = (/** @type {any} */ money, /** @type {string | null} */ reason) =>
    make("span", "", makeAmount(money, reason), money ? ` ${currency}` : null);
  const latest = latestBank && TEXT.latestOf(
    `${showAmount(latestBank.amount.amount)} ${currency}`,
    latestBank.reportedAt ? showInstant(latestBank.reportedAt) : "",
  );
  return makeFacts([
    [TEXT.day, showDay(balance.asOf)],
    [LABELS.bank ?? "", amount(balance.bank, balance.bankMissing), "main"],
    [LABELS.ledger ?? "", amount(balance.ledger, balance.ledgerMissing), "main"],
    [LABELS.difference ?? "", amount(balance.difference, balance.differenceMissing), "main"],
    [TEXT.why, reasons.join(" "), "long"],
    [TEXT.readAgo, age],
    [TEXT.fromBank, freshness.sourcedAt && makeAge(freshness.sourcedAt)],
    [TEXT.latestBank, latest],
    [TEXT.bankFeed, bankFeed && FEEDS[bankFeed.state]],
    [TEXT.lastSynced, bankFeed?.lastSyncedAt && makeAge(bankFeed.lastSyncedAt)],
    [TEXT.disconnectedAt, bankFeed?.disconnectedAt && showInstant(bankFeed.disconnectedAt)],
    ["", bankFeed?.needsAttention && TEXT.needsAttention, "old"],
  ]);
}

/** @param {any} account @param {Problem | undefined} failure why it could not be read */
function makeOpening({ openingBalance: opening, currency, timeZone }, failure) {
  // What could not be read is not the same as none.
  if (failure) return make("p", "problem", describeFailure(failure));
  if (!opening) return make("p", "hint", TEXT.notSet);
  const tags = opening.tags.map((/** @type {any} */ tag) =>
    `${tag.dimensionDisplayName || tag.key}: ${tag.valueDisplayName || tag.value}`);
  return makeFacts([
    [TEXT.amount, make("span", "", makeAmount(opening.amount), ` ${currency}`), "main"],
    [TEXT.effectiveAt, opening.effectiveAt && showDayOf(opening.effectiveAt, timeZone)],
    [TEXT.source, SOURCES[opening.source] || opening.source],
    [TEXT.memo, opening.memo, "long"],
    [TEXT.reference, opening.referenceNumber, "long"],
    [TEXT.tags, tags.join(", "), "long"],
    [TEXT.created, opening.createdAt && showInstant(opening.createdAt)],
    [TEXT.updated, opening.updatedAt && showInstant(opening.updatedAt)],
    [TEXT.readAgo, makeAge(opening.freshness.observedAt)],
  ]);
}

/** @param {any} account */
function makeIdentity(account) {
  const { freshness } = account.balance || {};
  return makeFacts([
    [TEXT.id, account.id],
    [LABELS.provider ?? "", PROVIDERS[account.provider] || account.provider],
    [LABELS.connector ?? "", account.connector.name],
    [LABELS.currency ?? "", account.currency],
    [TEXT.side, account.normalBalance && (account.normalBalance === "CREDIT" ? TEXT.CREDIT : TEXT.DEBIT)],
    [LABELS.age ?? "", freshness && (STATES[freshness.state] || freshness.state)],
    [TEXT.staleReason, freshness?.staleReason, "long"],
  ]);
}

/** @param {Problem[]} problems with the gateway's own words, for an operator */
function showProblems(problems) {
  const lines = problems.map(({ path = [], message, extensions }) => {
    const field = String(path[1] ?? "");
    return make("li", "", make("b", "", PROBLEM_FIELDS[field] || field), ` ${message}`,
      extensions?.code ? make("span", "sub", extensions.code) : null);
  });
  $("account-problems").replaceChildren(...(lines.length ? [make("ul", "missing", ...lines)] : []));
}

/** @param {any} account @param {AbortSignal} signal */
async function readSeries(account, signal) {
  const to = account.balance?.asOf || getState().asOf;
  const step = isDaily || FREE.includes(account.provider) ? "DAY" : "WEEK";
  // Read once: each day may be a call to the provider, at each refresh again.
  const key = `${account.id} ${to} ${step} ${account.openingBalance?.amount.amount}`;
  if (!to || shownSeries === key) return;
  shownSeries = key;
  const figure = $("account-chart");
  figure.hidden = false;
  const title = step === "DAY" ? TEXT.history : TEXT.historyWeekly;
  const caption = set(make("figcaption", "", title), { id: "account-chart-title" });
  if (key !== drawnSeries.key) figure.replaceChildren(caption, make("p", "hint", TEXT.loading));
  try {
    const answer = await read(SERIES, { id: account.id, from: addDays(to, 1 - DAYS), to, step }, signal);
    const series = answer.data.bankAccount?.balanceSeries;
    if (!series) throw new Error(answer.errors?.[0]?.message || TEXT.historyFailed);
    // Days that failed are asked again with the next refresh.
    if (series.points.some((/** @type {any} */ { problem }) => problem)) shownSeries = "";
    // The same days again leave the chart as a reader has it.
    if (answer === drawnSeries.answer && key === drawnSeries.key) return;
    drawnSeries = { key, answer };
    drawChart(figure, buildLines(series.points));
    if (step !== "DAY") figure.append(makeDailyButton());
  } catch (error) {
    shownSeries = "";
    const { name, message } = /** @type {Error} */ (error);
    if (name !== "AbortError") figure.replaceChildren(caption, make("p", "problem", message));
  }
}

function makeDailyButton() {
  const daily = make("button", "", TEXT.everyDay);
  daily.type = "button";
  daily.addEventListener("click", () => {
    isDaily = true;
    void readAccount();
  });
  return daily;
}

/** @param {any[]} points @returns {Line[]} */
function buildLines(points) {
  const line = (/** @type {string} */ title, /** @type {"bank" | "ledger"} */ name) => ({
    title,
    points: points.map(({ day, balance, problem }) => ({
      day,
      amount: balance?.[name]?.amount ?? null,
      ...(problem ? { problem: FAILURES[problem.code] || String(problem.message) } : {}),
    })),
  });
  return [line(LABELS.bank ?? "", "bank"), line(LABELS.ledger ?? "", "ledger")];
}

export function startDrawer() {
  startOpeningForm();
  startSettling();
  startExplaining();
  button("drawer-close").addEventListener("click", () => dialog.close());
  // Also Escape closes it.
  dialog.addEventListener("close", () => {
    asking?.abort();
    clear();
    if (getState().account && !isLeaving) change({ account: "" });
    isLeaving = false;
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
