// What the drawer lists of an account: figures, opening balance, identity, and what failed.

import { describeFailure, makeAge, makeAmount, makeChip } from "./cells.js";
import { make, makeFacts } from "./dom.js";
import { showAmount, showDay, showDayOf, showInstant } from "./numbers.js";
import { FEEDS, LABELS, MISSING_LONG, PROBLEM_FIELDS, PROVIDERS, SOURCES, STATES, TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Problem} Problem */

/** @param {any} account @param {Problem | undefined} failure why there are none */
export function makeFigures({ balance, currency, latestBank, bankFeed }, failure) {
  if (!balance) return failure ? make("p", "problem", describeFailure(failure)) : make("p", "hint", TEXT.unknown);
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
export function makeOpening({ openingBalance: opening, currency, timeZone }, failure) {
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
export function makeIdentity(account) {
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

/** Say for a reader what else could not be read. @param {Problem[]} problems */
export function makeProblems(problems) {
  const lines = problems.map((problem) => {
    const field = String(problem.path?.[1] ?? "");
    return make("li", "", `${PROBLEM_FIELDS[field] || field}: ${describeFailure(problem)}`);
  });
  return lines.length ? [make("ul", "missing", ...lines)] : [];
}

/** The gateway's own words, for an operator. @param {Problem[]} problems */
export function makeMessages(problems) {
  const lines = problems.map(({ path = [], message, extensions }) => {
    const field = String(path[1] ?? "");
    return make("li", "", make("b", "", PROBLEM_FIELDS[field] || field), ` ${message}`,
      extensions?.code ? make("span", "sub", extensions.code) : null);
  });
  return lines.length ? [make("ul", "missing", ...lines)] : [];
}
