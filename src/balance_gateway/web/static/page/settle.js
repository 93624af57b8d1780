// Says that a write of an account is unsettled, and lets a person settle it.

import { write } from "./api.js";
import { $, button, form, input, isOff, setOff, setText } from "./dom.js";
import { showAmount, showInstant } from "./numbers.js";
import { SETTLE } from "./queries.js";
import { TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").UnsettledWrite} UnsettledWrite */

let writeId = "";
/** @type {() => Promise<void>} */
let onSettled = async () => {};

/**
 * @param {UnsettledWrite | null} unsettled
 * @param {string} currency
 * @param {boolean} mayWrite
 * @param {() => Promise<void>} whenSettled
 */
export function showUnsettled(unsettled, currency, mayWrite, whenSettled) {
  onSettled = whenSettled;
  $("unsettled").hidden = !unsettled;
  if (!unsettled) return;
  if (unsettled.writeId !== writeId) {
    form("settle-form").reset();
    $("settle-outcome").textContent = "";
  }
  writeId = unsettled.writeId || "";
  const when = showInstant(unsettled.at);
  const text = unsettled.amount
    ? TEXT.unsettledText(`${showAmount(unsettled.amount.amount)} ${currency}`, when)
    : TEXT.unsettledForeign(when);
  setText($("unsettled-text"), text);
  form("settle-form").hidden = !mayWrite || !writeId;
}

async function settle() {
  if (isOff(button("settle-send"))) return;
  const isApplied = input("settle-applied").checked;
  setOff(button("settle-send"), true);
  try {
    const variables = { writeId, as: isApplied ? "APPLIED" : "NOT_APPLIED", note: input("settle-note").value.trim() };
    const { data } = await write(SETTLE, variables);
    const result = data.settleOpeningBalanceWrite;
    const isSettled = result.__typename === "OpeningBalanceWriteSettled";
    $("settle-outcome").textContent = isSettled ? "" : result.message;
    if (isSettled) $("account-status").textContent = TEXT.settled;
    // The form will be hidden, and would take the focus with it.
    if (isSettled) $("account-title").focus();
    await onSettled();
  } catch (error) {
    $("settle-outcome").textContent = /** @type {Error} */ (error).message;
  } finally {
    setOff(button("settle-send"), false);
  }
}

export function startSettling() {
  form("settle-form").addEventListener("submit", (event) => {
    event.preventDefault();
    settle();
  });
}
