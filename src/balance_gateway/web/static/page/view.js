// Turns all rows into what the table shows: found, filtered, sorted, and grouped with subtotals.

import { countDecimals, isZero, toMinor } from "./numbers.js";
import { PROVIDERS, TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Amount} Amount */
/** @typedef {import("./types.d.ts").Item} Item */
/** @typedef {import("./types.d.ts").Row} Row */
/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").Subtotal} Subtotal */

/** @type {WeakMap<Row, string>} */
const findTexts = new WeakMap();
/** With more currencies the sums of the shown accounts are below them. */
const SUMS_ABOVE_MAX = 2;
/** Later than every instant: such a figure is of this moment. */
const ALWAYS_NOW = "9999";
const compareTexts = new Intl.Collator(undefined, { numeric: true }).compare;

/** @param {Row} row */
function findText(row) {
  let text = findTexts.get(row);
  if (text === undefined) {
    const { name, id, provider, currency, connector } = row.account;
    const words = [name, id, PROVIDERS[provider] || provider, connector.name, currency];
    findTexts.set(row, (text = words.join(" ").toLowerCase()));
  }
  return text;
}

/** @param {Row} row */
export function differs({ account }) {
  return Boolean(account.balance?.difference && !isZero(account.balance.difference.amount));
}

/** @param {Row} row */
export const isStale = ({ account }) => account.balance?.freshness.state === "STALE";

/** @param {Row} row */
export const isUnsettled = ({ account }) => Boolean(account.unsettledWrite);

const FILTERS = { differences: differs, stale: isStale, unsettled: isUnsettled };

/** @param {Row[]} rows @param {State} state */
export function filterRows(rows, { find, only }) {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length && !only.length) return rows;
  return rows.filter(
    (row) =>
      only.every((each) => FILTERS[each](row)) &&
      words.every((word) => findText(row).includes(word)),
  );
}

/** @type {Record<string, (row: Row) => string>} */
const TEXTS = {
  name: ({ account }) => account.name,
  provider: ({ account }) => `${PROVIDERS[account.provider] || account.provider} ${account.connector.name}`,
  currency: ({ account }) => account.currency,
};

/** @type {Record<string, (row: Row) => Amount | null | undefined>} */
const AMOUNTS = {
  bank: ({ account }) => account.balance?.bank,
  ledger: ({ account }) => account.balance?.ledger,
  difference: ({ account }) => account.balance?.difference,
  opening: ({ account }) => account.openingBalance?.amount,
};

/** @param {Row[]} rows @param {State} state @returns {Row[]} */
export function sortRows(rows, { sort, descending }) {
  const sign = descending ? -1 : 1;
  const getText = TEXTS[sort];
  if (getText) return sortBy(rows, getText, compareTexts, sign);
  const getAmount = AMOUNTS[sort];
  if (getAmount) return sortAmounts(rows, getAmount, sign, sort === "difference");
  // The oldest figure comes last when ascending: its age is the greatest.
  /** @param {Row} row */
  const getAge = ({ account: { balance } }) => (balance && (balance.freshness.observedAt ?? ALWAYS_NOW)) || null;
  return sortBy(rows, getAge, (one, other) => (one < other ? 1 : one > other ? -1 : 0), sign);
}

/**
 * Sort by a key; rows without one come last in both orders.
 *
 * @template Key
 * @param {Row[]} rows
 * @param {(row: Row) => Key | null} getKey
 * @param {(one: Key, other: Key) => number} compare
 * @param {number} sign
 */
function sortBy(rows, getKey, compare, sign) {
  const keyed = rows.map((row) => ({ row, key: getKey(row) }));
  keyed.sort((one, other) => {
    if (one.key === null || other.key === null) {
      return Number(one.key === null) - Number(other.key === null);
    }
    return sign * compare(one.key, other.key) || compareTexts(one.row.account.name, other.row.account.name);
  });
  return keyed.map(({ row }) => row);
}

/**
 * Sort by an amount within each currency: amounts of two currencies cannot be compared.
 *
 * @param {Row[]} rows
 * @param {(row: Row) => Amount | null | undefined} getAmount
 * @param {number} sign
 * @param {boolean} bySize whether the sign of the amount counts
 */
function sortAmounts(rows, getAmount, sign, bySize) {
  const currencies = [...new Set(rows.map(({ account }) => account.currency))].sort();
  return currencies.flatMap((currency) =>
    sortBy(
      rows.filter(({ account }) => account.currency === currency),
      (row) => {
        const amount = getAmount(row);
        if (!amount) return null;
        const minor = toMinor(amount.amount);
        return bySize && minor < 0n ? -minor : minor;
      },
      (one, other) => (one < other ? -1 : one > other ? 1 : 0),
      sign,
    ),
  );
}

/** @type {Record<string, (row: Row) => string>} */
const GROUPS = {
  provider: ({ account }) => PROVIDERS[account.provider] || account.provider,
  connector: ({ account }) => account.connector.name,
  currency: ({ account }) => account.currency,
};

/**
 * Build the items of the table.
 *
 * @param {Row[]} rows all rows
 * @param {State} state
 * @param {Set<string>} overlapping the ids whose money another account has too
 * @returns {{items: Item[], rows: Row[]}} with the shown rows, in their order
 */
export function buildView(rows, state, overlapping) {
  const shown = sortRows(filterRows(rows, state), state);
  const getGroup = GROUPS[state.group];
  if (!getGroup) {
    const isPart = shown.length > 0 && shown.length < rows.length;
    const sums = isPart ? buildSubtotals(TEXT.shown, shown, overlapping) : [];
    const accounts = shown.map(buildItem);
    // Many sums would push the accounts that a reader looks for out of sight.
    const items = sums.length > SUMS_ABOVE_MAX ? [...accounts, ...sums] : [...sums, ...accounts];
    return { items, rows: shown };
  }
  /** @type {Map<string, Row[]>} */
  const groups = new Map();
  for (const row of shown) {
    const title = getGroup(row);
    const group = groups.get(title);
    if (group) group.push(row);
    else groups.set(title, [row]);
  }
  const sorted = [...groups].sort(([one], [other]) => compareTexts(one, other));
  return {
    items: sorted.flatMap(([title, group]) => [
      ...buildSubtotals(title, group, overlapping),
      ...group.map(buildItem),
    ]),
    rows: sorted.flatMap(([, group]) => group),
  };
}

/** @param {Row} row @returns {Item} */
const buildItem = (row) => ({ kind: "row", key: row.account.id, row });

/**
 * Add up rows, one subtotal for each currency.
 *
 * @param {string} title
 * @param {Row[]} rows
 * @param {Set<string>} overlapping
 * @returns {Item[]}
 */
export function buildSubtotals(title, rows, overlapping) {
  /** @type {Map<string, Subtotal>} */
  const byCurrency = new Map();
  for (const row of rows) {
    const { currency } = row.account;
    let subtotal = byCurrency.get(currency);
    if (!subtotal) byCurrency.set(currency, (subtotal = startSubtotal(title, currency)));
    addRow(subtotal, row, overlapping);
  }
  return [...byCurrency.values()]
    .sort((one, other) => compareTexts(one.currency, other.currency))
    .map((subtotal) => ({
      kind: "subtotal",
      key: `${title} ${subtotal.currency}`,
      subtotal,
    }));
}

/** @param {string} title @param {string} currency @returns {Subtotal} */
function startSubtotal(title, currency) {
  const zero = () => ({ minor: 0n, count: 0 });
  return {
    title, currency, count: 0, decimals: 0, stale: 0, missing: 0, left: [],
    bank: zero(), ledger: zero(), difference: zero(),
  };
}

/** @param {Subtotal} subtotal @param {Row} row @param {Set<string>} overlapping */
function addRow(subtotal, row, overlapping) {
  subtotal.count += 1;
  const { balance, id } = row.account;
  if (!balance || (!balance.bank && !balance.ledger)) {
    subtotal.missing += 1;
    return;
  }
  if (overlapping.has(id)) {
    subtotal.left.push(id);
    return;
  }
  if (isStale(row)) subtotal.stale += 1;
  for (const name of /** @type {const} */ (["bank", "ledger", "difference"])) {
    const amount = balance[name];
    if (!amount) continue;
    subtotal[name].minor += toMinor(amount.amount);
    subtotal[name].count += 1;
    subtotal.decimals = countDecimals(amount.amount);
  }
}
