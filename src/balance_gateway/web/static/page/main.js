// The page: reads the board, shows it as the reader has chosen, and reads it again from time to time.

import { ApiError, now } from "./api.js";
import { showAsOf, showOddLink, startAsOf } from "./as_of.js";
import { readOutages, showConnectorCount, showConnectors, showOutages } from "./banner.js";
import { readNames, readRows, readSummary } from "./board.js";
import { renewAges } from "./cells.js";
import { startControls, showControls } from "./controls.js";
import { saveCsv } from "./csv.js";
import { $, button, setOff, setText } from "./dom.js";
import { allowInDrawer, hideDrawer, readAccount, showDrawer, startDrawer } from "./drawer.js";
import { dayOf, showDay, showTime } from "./numbers.js";
import { areOpeningsKnown, expireOpenings, forgetOpenings, joinOpenings, readOpenings } from "./openings.js";
import { buildRow } from "./rows.js";
import { askForKey, findHindrance, isSignedIn, readSession, showNotice, startSession } from "./session.js";
import { getState, onChange } from "./state.js";
import { WindowedTable } from "./table.js";
import { LABELS, TEXT } from "./text.js";
import { showTotals, startTotals } from "./totals.js";
import { forgetTotalsChart, readTotalsChart, renewTotalsChart, startTotalsChart } from "./totals_chart.js";
import { buildView } from "./view.js";

/** @typedef {import("./types.d.ts").Connector} Connector */
/** @typedef {import("./types.d.ts").Item} Item */
/** @typedef {import("./types.d.ts").Row} Row */
/** @typedef {import("./types.d.ts").Session} Session */
/** @typedef {import("./types.d.ts").Summary} Summary */

const COLUMNS = 8;
/** Ages on the page grow this often. */
const TICK_MS = 10_000;
/** Rows that wait for a provider, and all after a failure, are asked again after this time. */
const WAITING_MS = 10_000;

/** @type {{rows: Row[], count: number, summary: Summary | null, down: Connector[], readAt: number, day: string}} */
const board = { rows: [], count: 0, summary: null, down: [], readAt: 0, day: "" };
/** @type {Session | null} */
let session = null;
/** @type {Row[]} in their order on the page */
let shownRows = [];
/** @type {AbortController | null} */
let asking = null;
let hasFailed = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

const body = /** @type {HTMLTableSectionElement} */ ($("accounts"));
/** @type {WindowedTable<Item>} */
const table = new WindowedTable(body, COLUMNS, buildRow, ({ kind }) => kind === "row");

function showTable() {
  const overlapping = new Set(board.summary?.totals.flatMap((total) => total.overlapping));
  const all = joinOpenings(board.rows);
  const { items, rows } = buildView(all, getState(), overlapping);
  shownRows = rows;
  table.show(items, (item) => (item.kind === "row" ? item.row : item));
  $("table").setAttribute("aria-rowcount", String(items.length + 1));
  const isPart = rows.length < board.rows.length;
  const count = isPart ? TEXT.found(rows.length, board.rows.length) : TEXT.accounts(board.rows.length);
  setText($("count"), count);
  $("empty").hidden = rows.length > 0 || !board.readAt;
  setText($("empty-text"), describeNone());
  button("clear").hidden = !board.rows.length;
}

function describeNone() {
  if (!board.rows.length) return TEXT.noAccounts;
  const { find, only } = getState();
  if (only.includes("unsettled") && !areOpeningsKnown()) return TEXT.reading;
  return TEXT.nothingFound(find, listFilters().join(", "));
}

const listFilters = () => getState().only.map((each) => LABELS[each] ?? each);

function showSummary() {
  if (!board.summary) return;
  const { totals, connectors } = board.summary;
  const rows = board.rows.some(({ waiting }) => waiting) ? [] : board.rows;
  showTotals(totals, rows);
  showConnectorCount(connectors);
  showOutages(board.down, board.rows);
}

function showTitle() {
  const { asOf, account, find } = getState();
  if (account) return;
  const parts = [
    LABELS.title ?? "", session?.viewer.tenant ?? "", asOf && showDay(asOf), find && TEXT.titleFind(find), ...listFilters(),
  ];
  document.title = TEXT.titleOf(parts);
}

/** @param {AbortSignal} signal */
async function readBoard(signal) {
  const { asOf } = getState();
  const isFirst = board.day !== (asOf || "today") || !board.rows.length;
  if (isFirst) await readFirstNames(signal);
  const rows = await readRows(asOf, listProviders(), signal, (known, all) => {
    // Rows that are not read yet keep what they show.
    if (isFirst) showPart(known);
    $("status").textContent = TEXT.readingMore(known.length, Math.max(all, board.rows.length));
  });
  // After the rows, so that it is of the same figures.
  const summary = await readSummary(asOf, signal);
  const down = await readOutages(summary.connectors, signal);
  Object.assign(board, { rows, summary, down, count: rows.length, readAt: Date.now() });
}

/** @param {AbortSignal} signal */
async function readFirstNames(signal) {
  const { asOf } = getState();
  const { rows, count } = await readNames(signal);
  $("totals").replaceChildren();
  allowTaking(false);
  Object.assign(board, { rows, count, summary: null, day: asOf || "today" });
  $("board").classList.remove("outdated");
  showTable();
}

/** The providers of the accounts: a new one is in the totals before its accounts are asked. */
function listProviders() {
  const known = board.summary
    ? board.summary.connectors.map(({ provider }) => provider)
    : board.rows.map(({ account }) => account.provider);
  return [...new Set(known)].sort();
}

/** Show rows in place of those with their names alone. @param {Row[]} known */
function showPart(known) {
  const ids = new Set(known.map(({ account }) => account.id));
  board.rows = [...known, ...board.rows.filter(({ account }) => !ids.has(account.id))];
  showTable();
}

/** @param {boolean} isAllowed whether the rows have their figures */
function allowTaking(isAllowed) {
  for (const id of ["csv", "print"]) button(id).disabled = !isAllowed;
}

async function refresh() {
  asking?.abort();
  const mine = (asking = new AbortController());
  setOff(button("refresh"), true);
  if (!board.rows.length) $("status").textContent = TEXT.reading;
  try {
    if (!session && !(await openSession())) return;
    await readBoard(mine.signal);
    showTable();
    showSummary();
    await readOpenings(mine.signal, showTable);
    allowTaking(true);
    if (/** @type {HTMLDetailsElement} */ ($("connectors-details")).open) await showConnectors(mine.signal);
    await readAccount();
    $("status").textContent = TEXT.readAt(showTime(now()));
    $("board").classList.remove("outdated");
    hasFailed = false;
    showNotice("");
  } catch (error) {
    showFailure(/** @type {Error} */ (error));
  } finally {
    if (asking === mine) {
      setOff(button("refresh"), false);
      schedule();
    }
  }
}

/** Read everything again, also what is read less often. */
async function refreshAll() {
  expireOpenings();
  await refresh();
  await renewTotalsChart();
}

/** @returns {Promise<boolean>} whether the reader may see balances */
async function openSession() {
  session = await readSession();
  const hindrance = findHindrance(session);
  if (hindrance) {
    forget();
    askForKey(hindrance);
    return false;
  }
  const { viewer, gateway } = session;
  $("tenant").textContent = viewer.tenant;
  $("environment").textContent = gateway.environment || "";
  $("environment").hidden = !gateway.environment;
  $("version").textContent = gateway.version;
  const has = (/** @type {string} */ scope) => viewer.scopes.includes(scope);
  allowInDrawer({ canWrite: has("balances:write"), canExplain: has("audit:read"), refresh: refreshAll, focusRow: (id) => table.focusRow(id) });
  showTitle();
  showDrawer();
  return true;
}

/** @param {Error} error */
function showFailure(error) {
  if (error.name === "AbortError") return;
  if (error instanceof ApiError && error.code === "UNAUTHENTICATED") {
    const wasSignedIn = session !== null;
    forget();
    askForKey(wasSignedIn ? TEXT.keyEnded : TEXT.keyRefused);
    return;
  }
  hasFailed = true;
  const isShown = board.readAt > 0;
  $("board").classList.toggle("outdated", isShown);
  $("status").textContent = "";
  const isAgain = error instanceof ApiError && error.code === "" && getState().every;
  showNotice(error.message + (isAgain ? ` ${TEXT.triedAgain}` : "") + (isShown ? ` ${TEXT.before(board.day === "today" ? "" : showDay(board.day), showTime(board.readAt))}` : ""));
}

/** Remove every figure of the reader who has left. */
function forget() {
  asking?.abort();
  clearTimeout(timer);
  session = null;
  forgetOpenings();
  Object.assign(board, { rows: [], count: 0, summary: null, down: [], readAt: 0, day: "" });
  for (const id of ["totals", "connectors"]) $(id).replaceChildren();
  allowTaking(false);
  $("outage").hidden = true;
  hideDrawer();
  forgetTotalsChart();
  showTable();
  document.title = LABELS.title ?? "";
}

function schedule() {
  clearTimeout(timer);
  const { every } = getState();
  if (!every || !isSignedIn() || document.hidden) return;
  const isSoon = hasFailed || board.rows.some(({ waiting }) => waiting);
  timer = setTimeout(refresh, isSoon ? Math.min(every * 1000, WAITING_MS) : every * 1000);
}

function start() {
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = LABELS[/** @type {HTMLElement} */ (element).dataset.text ?? ""] ?? "";
  }
  startAsOf();
  startControls({ refresh: refreshAll, save: saveShown });
  startDrawer();
  startTotals();
  startTotalsChart();
  onChange((state, before) => {
    showAsOf();
    showOddLink();
    showControls();
    showTitle();
    if (state.asOf !== before.asOf) {
      void refresh();
      void readTotalsChart();
    } else showTable();
    if (state.account !== before.account) showDrawer();
    if (state.every !== before.every) schedule();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (isSignedIn() && getState().every && Date.now() - board.readAt > getState().every * 1000) void refresh();
    else schedule();
  });
  setInterval(() => {
    if (document.hidden || !board.readAt) return;
    renewAges();
    showOutages(board.down, board.rows);
  }, TICK_MS);
  showOddLink();
  void startSession(() => {
    $("sign-in").hidden = true;
    $("board").hidden = $("controls").hidden = false;
    void refresh();
  });
}

function saveShown() {
  // The day of the rows: a day that could not be read shows those of the day before it.
  const day = board.day === "today" ? dayOf(new Date(now())) : board.day;
  saveCsv(shownRows, TEXT.csvName(session?.viewer.tenant ?? "", day));
}

button("sign-out").addEventListener("click", forget);
start();
