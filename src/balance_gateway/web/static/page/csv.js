// The shown accounts as a CSV file: plain digits, a plain minus, and no cell that is a formula.

import { make } from "./dom.js";

/** @typedef {import("./types.d.ts").Row} Row */

const COLUMNS = [
  "id", "name", "provider", "connector", "currency", "as_of",
  "bank", "bank_missing", "ledger", "ledger_missing", "difference", "difference_missing",
  "opening_balance", "opening_effective_at", "opening_source", "unsettled_write",
  "state", "observed_at", "problem",
];

/** @param {Row} row @returns {string[]} */
function listCells({ account, problems }) {
  const { balance, openingBalance: opening, unsettledWrite: unsettled } = account;
  const cells = [
    account.id, account.name, account.provider, account.connector.name, account.currency, balance?.asOf,
    balance?.bank?.amount, balance?.bankMissing,
    balance?.ledger?.amount, balance?.ledgerMissing,
    balance?.difference?.amount, balance?.differenceMissing,
    opening?.amount.amount, opening?.effectiveAt, opening?.source,
    unsettled && (unsettled.writeId || unsettled.at),
    balance?.freshness.state, balance?.freshness.observedAt,
    [...problems.values()].map((each) => each.message).join(" "),
  ];
  return cells.map((cell) => cell || "");
}

/** @param {string} cell */
export function encodeCell(cell) {
  // A spreadsheet takes such a text for a formula; a negative amount is a number.
  const isFormula = /^[=+\-@\t\r]/.test(cell) && !/^-?\d+(\.\d+)?$/.test(cell);
  const safe = isFormula ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** @param {Row[]} rows @returns {string} */
export function buildCsv(rows) {
  const lines = [COLUMNS, ...rows.map(listCells)];
  return lines.map((cells) => `${cells.map(encodeCell).join(",")}\r\n`).join("");
}

/** @param {Row[]} rows @param {string} name of the file */
export function saveCsv(rows, name) {
  // The mark at the start lets spreadsheets read it as UTF-8.
  const blob = new Blob(["\ufeff", buildCsv(rows)], { type: "text/csv;charset=utf-8" });
  const link = make("a", "");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
