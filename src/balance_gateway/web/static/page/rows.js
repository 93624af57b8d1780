// Builds the rows of the table: one for an account, one for a subtotal.

import { describeFailure, makeAge, makeAmount, makeChip, makeOldAge } from "./cells.js";
import { make, set } from "./dom.js";
import { fromMinor, showDay, showDayOf } from "./numbers.js";
import { addressOf } from "./state.js";
import { LABELS, PROVIDERS, SOURCES_SHORT, TEXT } from "./text.js";
import { differs, isStale } from "./view.js";

/** @typedef {import("./types.d.ts").Item} Item */
/** @typedef {import("./types.d.ts").Row} Row */
/** @typedef {import("./types.d.ts").Subtotal} Subtotal */
/** @typedef {import("./types.d.ts").Sum} Sum */

/** @param {Item} item @returns {HTMLTableRowElement} */
export function buildRow(item) {
  return item.kind === "row" ? buildAccount(item.row) : buildSubtotal(item.subtotal);
}

/**
 * Make a cell with its role: on a narrow screen the table is laid out as blocks.
 *
 * @param {"td" | "th"} tag
 * @param {string} className
 * @param {...(Node | string | null)} children
 */
function makeCell(tag, className, ...children) {
  const cell = make(tag, className, ...children);
  return set(cell, tag === "th" ? { role: "rowheader", scope: "row" } : { role: "cell" });
}

/** Give a figure the label that it has beside it on a narrow screen. @param {HTMLElement} cell @param {string} name */
const label = (cell, name) => set(cell, { "data-label": LABELS[name] ?? "" });

/** @param {Row} row */
function buildAccount(row) {
  const { account } = row;
  const { balance } = account;
  const link = set(make("a", "name", account.name), { href: addressOf({ account: account.id }) });
  link.dataset.account = account.id;
  link.tabIndex = -1; // the table says which row Tab reaches
  const failed = row.waiting || row.problems.has("balance") || !balance;
  const figure = (/** @type {"bank" | "ledger" | "difference"} */ name) =>
    failed ? make("span", "none", TEXT.none) : makeAmount(balance[name], balance[`${name}Missing`]);
  const element = make(
    "tr", isStale(row) ? "stale" : "",
    makeCell("th", "c-name", link, make("span", "sub", account.id)),
    makeCell("td", "c-provider", PROVIDERS[account.provider] || account.provider,
      make("span", "sub", account.connector.name)),
    makeCell("td", "c-currency", account.currency),
    label(makeCell("td", "c-bank amount", figure("bank")), "bank"),
    label(makeCell("td", "c-ledger amount", figure("ledger")), "ledger"),
    label(makeCell("td", `c-difference amount${differs(row) ? " off" : ""}`, figure("difference")), "difference"),
    makeCell("td", "c-opening amount", ...describeOpening(row)),
    makeCell("td", "c-age", ...describeAge(row)),
  );
  return set(element, { role: "row" });
}

/** @param {Row} row @returns {(Node | string | null)[]} */
function describeOpening({ account, problems }) {
  const failed = problems.get("openingBalance");
  const badge = account.unsettledWrite ? makeChip("warn", TEXT.unsettled) : null;
  if (failed) return [make("span", "problem", describeFailure(failed)), badge];
  if (account.openingBalance === undefined) return [make("span", "none", TEXT.none)];
  const value = account.openingBalance;
  if (!value) return [make("span", "none", TEXT.notSet), badge];
  const day = value.effectiveAt ? showDayOf(value.effectiveAt, account.timeZone ?? "UTC") : SOURCES_SHORT[value.source] || "";
  return [makeAmount(value.amount), badge || make("span", "sub", day)];
}

/** @param {Row} row @returns {(Node | string | null)[]} */
function describeAge({ account, problems, waiting }) {
  if (waiting) return [makeChip("wait", TEXT.waiting)];
  const failed = problems.get("balance") || [...problems.values()].find(() => !account.balance);
  if (failed) return [set(make("span", "problem", describeFailure(failed)), { title: failed.message })];
  if (!account.balance) return [];
  const { state, observedAt } = account.balance.freshness;
  const day = make("span", "sub", showDay(account.balance.asOf));
  if (!observedAt) return [TEXT.now, day];
  if (state !== "STALE") return [makeAge(observedAt), day];
  return [makeOldAge(observedAt), day];
}

/** @param {Subtotal} subtotal */
function buildSubtotal(subtotal) {
  const known = subtotal.count - subtotal.missing - subtotal.left.length;
  const figure = (/** @type {Sum} */ sum) =>
    sum.count ? makeAmount({ amount: fromMinor(sum.minor, subtotal.decimals) }) : make("span", "none", TEXT.none);
  const part = (/** @type {Sum} */ sum) =>
    sum.count && sum.count < known ? make("span", "sub", TEXT.found(sum.count, known)) : null;
  const cell = (/** @type {"bank" | "ledger" | "difference"} */ name) => {
    const sum = subtotal[name];
    const isOff = name === "difference" && sum.minor !== 0n ? " off" : "";
    return label(makeCell("td", `c-${name} amount${isOff}`, figure(sum), part(sum)), name);
  };
  const left = subtotal.left.length ? TEXT.without(subtotal.left.join(", ")) : "";
  const element = make(
    "tr", "subtotal",
    makeCell("th", "c-name", make("span", "name", subtotal.title),
      set(make("span", "sub", TEXT.subtotal(subtotal.count), left && `, ${left}`), { title: left })),
    makeCell("td", "c-provider"),
    makeCell("td", "c-currency", subtotal.currency),
    cell("bank"),
    cell("ledger"),
    cell("difference"),
    makeCell("td", "c-opening"),
    makeCell("td", "c-age",
      subtotal.missing ? makeChip("bad", TEXT.someMissing(subtotal.missing)) : null,
      subtotal.stale ? makeChip("warn", TEXT.someStale(subtotal.stale, subtotal.count)) : null),
  );
  return set(element, { role: "row" });
}
