// Reads everything that the page shows of all accounts: their rows, and the totals and connectors.

import { read } from "./api.js";
import { ACCOUNTS, LIST, SUMMARY } from "./queries.js";
import { TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Account} Account */
/** @typedef {import("./types.d.ts").Answer} Answer */
/** @typedef {import("./types.d.ts").Problem} Problem */
/** @typedef {import("./types.d.ts").Row} Row */
/** @typedef {import("./types.d.ts").Summary} Summary */

/** Accounts in one request: fewer requests cost the gateway less, and one change sends all of them. */
export const PAGE = 1000;
/** Names are asked for more accounts at once, so that the first rows do not wait for figures. */
const LIST_PAGE = 10_000;

const OWN = ["LOCAL"];

const WAITING_CODES = ["PROVIDER_RATE_LIMITED", "PROVIDER_TIMEOUT"];

/** The rows of an answer, which is the same object while it has not changed. @type {WeakMap<Answer, Row[]>} */
const rowsByAnswer = new WeakMap();

/**
 * Read the accounts without figures.
 *
 * @param {AbortSignal} signal
 * @returns {Promise<{rows: Row[], count: number}>}
 */
export async function readNames(signal) {
  const { data } = await read(LIST, { first: LIST_PAGE }, signal);
  const accounts = /** @type {Account[]} */ (data.bankAccounts.nodes.filter(Boolean));
  const rows = accounts.map((account) => ({ account, problems: new Map(), waiting: true }));
  return { rows, count: data.bankAccounts.totalCount };
}

/**
 * Read the accounts with their figures, in pages.
 *
 * @param {string} asOf empty for today
 * @param {string[]} providers of the accounts
 * @param {AbortSignal} signal
 * @param {(rows: Row[], count: number) => void} onPage called with the rows so far while more follow
 * @returns {Promise<Row[]>}
 */
export async function readRows(asOf, providers, signal, onPage) {
  /** @type {Row[]} */
  const rows = [];
  // The gateway's own figures are of the moment of each answer: with that moment no answer would be
  // the same as the one before.
  const own = providers.filter((each) => OWN.includes(each));
  const aged = providers.filter((each) => !OWN.includes(each));
  for (const group of [own, aged].filter((each) => each.length)) {
    /** @type {string | null} */
    let after = null;
    for (;;) {
      const variables = { asOf: asOf || null, first: PAGE, after, providers: group, aged: group === aged };
      const answer = await read(ACCOUNTS, variables, signal);
      rows.push(...findRows(answer));
      const { totalCount, pageInfo } = answer.data.bankAccounts;
      if (!pageInfo.hasNextPage) break;
      onPage(rows, totalCount);
      after = pageInfo.endCursor;
    }
  }
  return rows;
}

/**
 * Read the totals and the connectors.
 *
 * @param {string} asOf empty for today
 * @param {AbortSignal} signal
 * @returns {Promise<Summary>}
 */
export async function readSummary(asOf, signal) {
  const { data } = await read(SUMMARY, { asOf: asOf || null }, signal);
  return { totals: data.balanceTotals, connectors: data.connectors };
}

/** @param {Answer} answer @returns {Row[]} */
function findRows(answer) {
  let rows = rowsByAnswer.get(answer);
  if (!rows) rowsByAnswer.set(answer, (rows = buildRows(answer)));
  return rows;
}

/**
 * Find the failed fields of the accounts of a page.
 *
 * @param {Answer} answer
 * @returns {Map<number, Map<string, Problem>>} by the index of the account, by the name of the field
 */
export function findProblems(answer) {
  const problems = new Map();
  for (const error of answer.errors || []) {
    const [root, list, index, field] = error.path || [];
    if (root !== "bankAccounts" || list !== "nodes" || typeof index !== "number") continue;
    const ofRow = problems.get(index) || new Map();
    problems.set(index, ofRow.set(String(field), error));
  }
  return problems;
}

/** @param {Answer} answer @returns {Row[]} */
function buildRows(answer) {
  const problems = findProblems(answer);
  const nodes = /** @type {(Account | null)[]} */ (answer.data.bankAccounts.nodes);
  return nodes.map((node, index) => {
    const ofRow = problems.get(index) || new Map();
    const code = ofRow.get("balance")?.extensions?.code;
    return {
      account: node || buildUnreadable(ofRow),
      problems: ofRow,
      waiting: !node?.balance && WAITING_CODES.includes(code),
    };
  });
}

/** @param {Map<string, Problem>} problems @returns {Account} */
function buildUnreadable(problems) {
  const id = [...problems.values()][0]?.extensions?.accountId || "";
  return { id, name: TEXT.unreadable, currency: "", provider: "", connector: { name: "" } };
}
