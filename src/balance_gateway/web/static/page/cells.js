// Small pieces that rows, totals and details share: amounts, ages and reasons.

import { now } from "./api.js";
import { make, set, setText } from "./dom.js";
import { isNegative, showAmount, showDuration, showInstant, splitGroups } from "./numbers.js";
import { FAILED, FAILURES, MISSING, TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Amount} Amount */
/** @typedef {import("./types.d.ts").Problem} Problem */

/** An amount of more characters may be on two lines, since it is never cut off. */
const LONG = 13;

/** Let a text break after its groups of digits, and nowhere else. @param {string} text @returns {Node[]} */
const breakGroups = (text) =>
  splitGroups(text).flatMap((each, n) => [...(n ? [make("wbr", "")] : []), document.createTextNode(each)]);

/**
 * @param {Amount | null | undefined} money
 * @param {string | null} [reason] why there is none
 */
export function makeAmount(money, reason) {
  if (!money) return make("span", "none", (reason && MISSING[reason]) || TEXT.none);
  const text = showAmount(money.amount);
  const isLong = text.length > LONG;
  const className = [isNegative(money.amount) ? "negative" : "", isLong ? "long-amount" : ""].join(" ").trim();
  return make("span", className, ...(isLong ? breakGroups(text) : [text]));
}

/** @param {string} instant @returns {number} */
export const ageSeconds = (instant) => Math.max(0, Math.floor((now() - Date.parse(instant)) / 1000));

/** @param {string} instant */
export function showAge(instant) {
  const seconds = ageSeconds(instant);
  return seconds < 5 ? TEXT.now : TEXT.ago(showDuration(seconds));
}

/** @param {string} instant an element whose text says how long ago it was */
export function makeAge(instant) {
  return set(make("time", "", showAge(instant)), { datetime: instant, title: showInstant(instant) });
}

/** The same for a figure that is older than it should be. @param {string} instant */
export function makeOldAge(instant) {
  const chip = make("time", "chip warn old-age", showOldAge(instant));
  return set(chip, { datetime: instant, title: showInstant(instant) });
}

/** @param {string} instant */
const showOldAge = (instant) => TEXT.staleFor(showDuration(ageSeconds(instant)));

/** Let the ages on the page grow, except where a reader has selected text. */
export function renewAges() {
  const selection = getSelection();
  for (const element of document.querySelectorAll("time")) {
    if (selection && !selection.isCollapsed && selection.containsNode(element, true)) continue;
    const isOld = element.classList.contains("old-age");
    setText(element, isOld ? showOldAge(element.dateTime) : showAge(element.dateTime));
  }
}

/** @param {string} className @param {string} text */
export const makeChip = (className, text) => make("span", `chip ${className}`, text);

/** @param {Problem | undefined} problem */
export const describeFailure = (problem) => FAILURES[problem?.extensions?.code || ""] || FAILED;
