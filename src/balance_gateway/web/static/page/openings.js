// The opening balances and unsettled writes of all accounts, which are read less often than figures.

import { read } from "./api.js";
import { findProblems, PAGE } from "./board.js";
import { OPENINGS } from "./queries.js";

/** @typedef {import("./types.d.ts").Account} Account */
/** @typedef {import("./types.d.ts").Answer} Answer */
/** @typedef {import("./types.d.ts").Problem} Problem */
/** @typedef {import("./types.d.ts").Row} Row */
/** @typedef {{account: Account, problem: Problem | undefined}} Opening */

const KEPT_MS = 300_000;

/** @type {WeakMap<Answer, Map<string, Opening>>} an answer is the same object while it is the same */
const byAnswer = new WeakMap();
/** @type {WeakMap<Row, {opening: Opening, row: Row}>} */
const joined = new WeakMap();
/** @type {Map<string, Opening>} by account */
let openings = new Map();
let readAt = 0;
/** Whether a look came to its end. */
let isComplete = false;

/** Let the next look read them again, as after a write of the reader's own. */
export function expireOpenings() {
  readAt = 0;
}

/** Whether those of all accounts are known. */
export const areOpeningsKnown = () => openings.size > 0 && isComplete;

/** Remove them, as of a reader who has left. */
export function forgetOpenings() {
  openings = new Map();
  readAt = 0;
  isComplete = false;
}

/**
 * Read them unless that was done lately.
 *
 * @param {AbortSignal} signal
 * @param {() => void} onPage called after each page
 */
export async function readOpenings(signal, onPage) {
  if (Date.now() - readAt < KEPT_MS) return;
  /** @type {string | null} */
  let after = null;
  for (;;) {
    const answer = await read(OPENINGS, { first: PAGE, after }, signal);
    openings = new Map([...openings, ...findOpenings(answer)]);
    onPage();
    const { pageInfo } = answer.data.bankAccounts;
    if (!pageInfo.hasNextPage) break;
    after = pageInfo.endCursor;
  }
  readAt = Date.now();
  isComplete = true;
}

/** @param {Answer} answer */
function findOpenings(answer) {
  let found = byAnswer.get(answer);
  if (!found) {
    const problems = findProblems(answer);
    const nodes = /** @type {(Account | null)[]} */ (answer.data.bankAccounts.nodes);
    found = new Map(nodes.flatMap((account, index) =>
      account ? [[account.id, { account, problem: problems.get(index)?.get("openingBalance") }]] : []));
    byAnswer.set(answer, found);
  }
  return found;
}

/**
 * Join rows with the openings that are known.
 *
 * @param {Row[]} rows
 * @returns {Row[]} the same objects as before where nothing has changed
 */
export function joinOpenings(rows) {
  return rows.map((row) => {
    const opening = openings.get(row.account.id);
    if (!opening) return row;
    const known = joined.get(row);
    if (known?.opening === opening) return known.row;
    const made = join(row, opening);
    joined.set(row, { opening, row: made });
    return made;
  });
}

/** @param {Row} row @param {Opening} opening @returns {Row} */
function join(row, { account: { openingBalance, unsettledWrite, timeZone }, problem }) {
  return {
    ...row,
    account: { ...row.account, ...(timeZone ? { timeZone } : {}), openingBalance: openingBalance ?? null, unsettledWrite: unsettledWrite ?? null },
    problems: problem ? new Map([...row.problems, ["openingBalance", problem]]) : row.problems,
  };
}
