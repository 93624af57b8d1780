// The details of one account, beside the table: figures, history, opening balance, and changes to it.

import { read } from "./api.js";
import { drawChart } from "./chart.js";
import { makeFigures, makeIdentity, makeMessages, makeOpening, makeProblems } from "./details.js";
import { $, button, make, patchChildren, set, setText } from "./dom.js";
import { addDays } from "./numbers.js";
import { showExplainButton, startExplaining } from "./explain.js";
import { hideOpeningForm, showOpeningForm, startOpeningForm } from "./opening.js";
import { ACCOUNT, SERIES } from "./queries.js";
import { showUnsettled, startSettling } from "./settle.js";
import { change, getState } from "./state.js";
import { FAILED, FAILURES, LABELS, PROVIDERS, TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Answer} Answer */
/** @typedef {import("./types.d.ts").Line} Line */
/** @typedef {import("./types.d.ts").Problem} Problem */
/** @typedef {{canWrite: boolean, canExplain: boolean, refresh: () => Promise<void>, focusRow: (id: string) => void}} Page */

const DAYS = 90;
/** Providers whose days cost no call; of the others a week is a point, unless a reader wants more. */
const FREE = ["LOCAL", "STATEMENT_FILE"];

const dialog = /** @type {HTMLDialogElement} */ ($("drawer"));
/** @type {Page} */
let page = { canWrite: false, canExplain: false, refresh: async () => {}, focusRow: () => {} };
/** The account that the drawer was opened for. */
let openId = "";
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

/** Say what the reader may do, and how the page is read again. @param {Page} options */
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
    openId = account;
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
  for (const id of ["figures", "opening", "identity", "messages", "problems", "chart", "place"]) {
    $(`account-${id}`).replaceChildren();
  }
  $("account-status").textContent = "";
  $("account-parts").hidden = true;
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
function showAccount({ data, errors = [] }) {
  const account = data.bankAccount;
  $("account-parts").hidden = !account;
  if (!account) {
    showUnknown(errors[0]);
    return;
  }
  const findFailure = (/** @type {string} */ name) => errors.find(({ path }) => path?.[1] === name);
  const failure = findFailure("openingBalance");
  setText($("account-title"), account.name);
  setText($("account-place"), TEXT.place(PROVIDERS[account.provider] || account.provider, account.currency, account.id));
  document.title = TEXT.titleOf([account.name, LABELS.title ?? ""]);
  patchChildren($("account-figures"), [makeFigures(account, findFailure("balance"))]);
  patchChildren($("account-opening"), [makeOpening(account, failure)]);
  patchChildren($("account-identity"), [makeIdentity(account)]);
  const others = errors.filter(({ path }) => !["balance", "openingBalance"].includes(String(path?.[1])));
  patchChildren($("account-problems"), makeProblems(others));
  patchChildren($("account-messages"), makeMessages(errors));
  const again = async () => {
    await page.refresh();
  };
  showUnsettled(account.unsettledWrite, account.currency, page.canWrite, again);
  if (page.canWrite && !failure) showOpeningForm(account, again);
  else hideOpeningForm();
}

/** Say in words that there is no such account, as when a link is wrong. @param {Problem | undefined} problem */
function showUnknown(problem) {
  const code = problem?.extensions?.code || "ACCOUNT_NOT_FOUND";
  const isUnknown = code === "ACCOUNT_NOT_FOUND";
  if (isUnknown) setText($("account-title"), TEXT.unknownTitle);
  setText($("account-status"), isUnknown ? TEXT.unknownAccount(getState().account) : FAILURES[code] || FAILED);
  document.title = TEXT.titleOf([$("account-title").textContent ?? "", LABELS.title ?? ""]);
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
  const hadFocus = figure.contains(document.activeElement);
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
    // The element that had it was drawn again.
    if (hadFocus) /** @type {HTMLElement | null} */ (figure.querySelector(".slider, summary"))?.focus();
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
    // Opened by a link, no row had the focus before.
    if (!isLeaving && !document.activeElement?.closest("#accounts")) page.focusRow(openId);
    isLeaving = false;
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
