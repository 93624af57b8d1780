// The cards of the totals, one for each currency.

import { makeAge, makeAmount, makeChip } from "./cells.js";
import { $, make, makeFacts, patchChildren, set } from "./dom.js";
import { fromMinor, showDay } from "./numbers.js";
import { FAILURES, LABELS, MISSING, TEXT } from "./text.js";
import { buildSubtotals } from "./view.js";

/** @typedef {import("./types.d.ts").Row} Row */
/** @typedef {import("./types.d.ts").Total} Total */

const NAMES_SHOWN = 3;

/** The currencies of which a reader of a narrow screen has opened the whole card. @type {Set<string>} */
const opened = new Set();

/** The missing accounts, by the reason. @param {Total} total @returns {string[]} */
function listMissing({ missing }) {
  /** @type {Map<string, string[]>} */
  const byReason = new Map();
  for (const { bankAccount, reason, code } of missing) {
    const why = MISSING[reason || ""] || FAILURES[code] || code;
    byReason.set(why, [...(byReason.get(why) || []), bankAccount.name]);
  }
  return [...byReason].map(([why, names]) => {
    const rest = names.length - NAMES_SHOWN;
    const shown = [...names.slice(0, NAMES_SHOWN), ...(rest > 0 ? [TEXT.more(rest)] : [])];
    return TEXT.missingAccounts(why, shown.join(", "));
  });
}

/** @param {Total} total */
function makeTotalChip(total) {
  if (!total.complete) return makeChip("bad", TEXT.someMissing(total.missing.length));
  if (total.staleIncluded) return makeChip("warn", TEXT.someStale(total.staleIncluded, total.included));
  // Such a total is of no single day.
  if (total.firstDay !== total.lastDay) return makeChip("warn", TEXT.severalDays);
  const isPart = total.bankIncluded < total.included || total.ledgerIncluded < total.included;
  return isPart ? makeChip("warn", TEXT.partial) : makeChip("good", TEXT.complete);
}

/** The difference of the accounts that have both figures: bank and books like with like.
 * @param {Total} total @param {Row[]} rows */
function findDifference(total, rows) {
  const ofCurrency = rows.filter(({ account }) => account.currency === total.currency);
  const [item] = buildSubtotals("", ofCurrency, new Set(total.overlapping));
  if (item?.kind !== "subtotal" || !item.subtotal.difference.count) return null;
  const { difference, decimals } = item.subtotal;
  return { count: difference.count, amount: fromMinor(difference.minor, decimals) };
}

/** When the oldest figure in a total was read; empty if all are of this moment.
 * @param {Total} total @param {Row[]} rows */
function findOldest({ currency, overlapping }, rows) {
  let oldest = "";
  for (const { account } of rows) {
    const read = account.currency === currency && account.balance?.freshness.observedAt;
    const isIn = account.balance?.bank || account.balance?.ledger;
    if (read && isIn && !overlapping.includes(account.id) && (!oldest || read < oldest)) oldest = read;
  }
  return oldest;
}

/** @param {Total} total @param {Row[]} rows @returns {(Node | string)[]} */
function describeAges(total, rows) {
  const { oldestSourcedAt: sourced, staleIncluded } = total;
  const read = findOldest(total, rows);
  return [
    ...(read ? [" · ", make("span", staleIncluded ? "old" : "", TEXT.oldestRead, makeAge(read))] : []),
    ...(sourced ? [" · ", make("span", "", TEXT.oldestSourced, makeAge(sourced))] : []),
  ];
}

/** Show the cards. @param {Total[]} totals @param {Row[]} rows all rows; empty while they are being read */
export function showTotals(totals, rows) {
  patchChildren($("totals"), totals.map((total) => makeTotal(total, rows)));
}

/** A narrow screen shows one line a currency, and the rest of it when a reader opens it. @param {string} currency */
function makeOpener(currency) {
  const opener = make("button", "narrow opener", currency);
  return set(opener, { type: "button", "data-currency": currency, "aria-expanded": String(opened.has(currency)) });
}

export function startTotals() {
  $("totals").dataset.caption = TEXT.bankAndBooks;
  $("totals").addEventListener("click", ({ target }) => {
    const opener = /** @type {HTMLElement} */ (target).closest(".card")?.querySelector(".opener");
    const currency = /** @type {HTMLElement | null | undefined} */ (opener)?.dataset.currency;
    if (!opener || !currency || getSelection()?.toString()) return;
    const isOpen = !opened.delete(currency) && Boolean(opened.add(currency));
    opener.setAttribute("aria-expanded", String(isOpen));
    opener.closest(".card")?.classList.toggle("open", isOpen);
  });
}

/** @param {Total} total @param {Row[]} rows */
function makeTotal(total, rows) {
  const withCount = (/** @type {string} */ label, /** @type {number} */ count) =>
    count === total.included ? label : TEXT.partOf(label, count, total.included);
  const isOneDay = total.firstDay === total.lastDay;
  const days = isOneDay
    ? showDay(total.firstDay)
    : TEXT.daysFromTo(showDay(total.firstDay), showDay(total.lastDay));
  const difference = findDifference(total, rows);
  const isAll = difference?.count === total.included;
  const classes = ["card", total.staleIncluded ? "stale" : "", opened.has(total.currency) ? "open" : ""];
  return make(
    "article", classes.filter(Boolean).join(" "),
    make("h3", "", make("span", "wide-only", total.currency), makeOpener(total.currency), makeTotalChip(total)),
    makeFacts([
      [withCount(LABELS.bank ?? "", total.bankIncluded), makeAmount(total.bank), "main"],
      [withCount(LABELS.ledger ?? "", total.ledgerIncluded), makeAmount(total.ledger), "main"],
      [isAll ? LABELS.difference ?? "" : TEXT.bothKnown(difference?.count ?? 0), difference && makeAmount(difference)],
      [TEXT.notTwice, total.overlapping.join(", ")],
    ]),
    make("p", "hint", TEXT.accounts(total.included), " · ", make("span", isOneDay ? "" : "old", days),
      ...describeAges(total, rows)),
    total.missing.length ? make("ul", "missing", ...listMissing(total).map((text) => make("li", "", text))) : null,
  );
}
