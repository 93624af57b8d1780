// The form that sets an opening balance, only if it is still as shown, and says what became of it.

import { ApiError, write } from "./api.js";
import { $, button, form, input, isOff, make, patchChildren, set, setOff, setText } from "./dom.js";
import { countDecimals, parseAmount, showAmount, startOfDay } from "./numbers.js";
import { SET_OPENING } from "./queries.js";
import { LABELS, TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Amount} Amount */
/** @typedef {{id: string, currency: string, timeZone: string, capabilities: string[] | null, openingBalance: {amount: Amount} | null}} Target */

/** @type {Target | null} */
let target = null;
/** @type {() => Promise<void>} */
let onWritten = async () => {};
/** The request that was sent last, and the key under which it is carried out once. */
let sent = { request: "", key: "" };

/**
 * Show the form for an account; what is typed stays while it is the same account.
 *
 * @param {Target} account as shown
 * @param {() => Promise<void>} whenWritten called after each outcome
 */
export function showOpeningForm(account, whenWritten) {
  const isSame = target?.id === account.id;
  target = account;
  onWritten = whenWritten;
  const can = (/** @type {string} */ each) => account.capabilities?.includes(each) ?? false;
  $("set-opening").hidden = false;
  $("cannot-set").hidden = can("WRITE_OPENING_BALANCE");
  form("opening-form").hidden = !can("WRITE_OPENING_BALANCE");
  if (!isSame) {
    form("opening-form").reset();
    $("opening-outcome").replaceChildren();
    $("opening-echo").textContent = "";
  }
  setText($("opening-currency"), account.currency);
  $("opening-day-field").hidden = !can("CHOOSE_EFFECTIVE_AT");
  $("opening-notes").hidden = !can("WRITE_MEMO");
  const current = account.openingBalance;
  const shown = current && `${showAmount(current.amount.amount)} ${account.currency}`;
  const limits = [
    TEXT.amountHint,
    can("CHOOSE_EFFECTIVE_AT") ? "" : TEXT.limitDay,
    can("WRITE_MEMO") ? "" : TEXT.limitMemo,
    shown ? TEXT.compares(shown) : TEXT.comparesNone,
  ];
  patchChildren($("opening-limits"), limits.filter(Boolean).map((text) => make("li", "", text)));
}

export function hideOpeningForm() {
  target = null;
  $("set-opening").hidden = true;
}

/** How many decimals the account's currency has; as its format says where no amount is known.
 * @param {Target} account */
function findDecimals({ openingBalance, currency }) {
  if (openingBalance) return countDecimals(openingBalance.amount.amount);
  return new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;
}

/** @returns {string | null} the typed amount with all its decimals; null while it is none */
function readAmount() {
  if (!target) return null;
  const decimals = findDecimals(target);
  const text = parseAmount(input("opening-amount").value);
  if (text === null || countDecimals(text) > decimals) {
    const isLong = text !== null;
    const example = showAmount(decimals ? `1234.${"5".padEnd(decimals, "0")}` : "1234");
    $("opening-echo").textContent = isLong ? TEXT.tooManyDecimals(target.currency, decimals) : TEXT.badAmount(example);
    return null;
  }
  const [whole = "", part = ""] = text.split(".");
  const amount = decimals ? `${whole}.${part.padEnd(decimals, "0")}` : whole;
  $("opening-echo").textContent = TEXT.willSet(showAmount(amount), target.currency);
  return amount;
}

function makeKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");
}

/** @param {string} amount @param {Target} account */
function buildInput(amount, account) {
  const { id, currency, openingBalance, timeZone } = account;
  const day = input("opening-day").value;
  const [memo, reference] = [input("opening-memo").value.trim(), input("opening-reference").value.trim()];
  const request = {
    accountId: id,
    amount: { amount, currency },
    expectedPrevious: {
      amount: openingBalance ? { amount: openingBalance.amount.amount, currency } : null,
    },
    ...(day ? { effectiveAt: startOfDay(day, timeZone) } : {}),
    ...(memo ? { memo } : {}),
    ...(reference ? { referenceNumber: reference } : {}),
  };
  const text = JSON.stringify(request);
  // The same request again, after no answer came, is carried out once only.
  if (sent.request !== text) sent = { request: text, key: makeKey() };
  return { ...request, idempotencyKey: sent.key };
}

/** @param {string} className @param {(string | null | undefined | false)[]} lines */
function showOutcome(className, lines) {
  const texts = lines.filter(Boolean).map((line) => make("p", "", /** @type {string} */ (line)));
  $("opening-outcome").replaceChildren(set(make("div", `outcome ${className}`, ...texts), {}));
  $("opening-outcome").scrollIntoView({ block: "nearest" });
}

/** @param {any} outcome @param {Target} account */
function describeOutcome(outcome, account) {
  const show = (/** @type {Amount} */ amount) => `${showAmount(amount.amount)} ${account.currency}`;
  const id = outcome.writeId && TEXT.writeId(outcome.writeId);
  if (outcome.__typename === "OpeningBalanceApplied") {
    const amount = show(outcome.openingBalance.amount);
    showOutcome("good", [outcome.verified ? TEXT.applied(amount) : TEXT.appliedUnread(amount), id]);
  } else if (outcome.__typename === "OpeningBalanceUncertain") {
    showOutcome("warn", [TEXT.uncertain, outcome.message, id]);
  } else {
    const isCompared = outcome.field === "expectedPrevious";
    const current = outcome.current ? TEXT.currentIs(show(outcome.current.amount)) : isCompared && TEXT.currentNone;
    showOutcome("bad", [TEXT.rejected, current, outcome.message, id]);
  }
}

async function submit() {
  if (isOff(button("opening-send"))) return;
  const account = target;
  const amount = readAmount();
  if (!account || amount === null) {
    input("opening-amount").focus();
    return;
  }
  setOff(button("opening-send"), true);
  showOutcome("", [TEXT.sending]);
  try {
    const { data } = await write(SET_OPENING, { input: buildInput(amount, account) });
    sent = { request: "", key: "" };
    describeOutcome(data.upsertOpeningBalance, account);
    if (data.upsertOpeningBalance.__typename === "OpeningBalanceApplied") {
      form("opening-form").reset();
      $("opening-echo").textContent = "";
    }
    await onWritten();
  } catch (error) {
    const isRefused = error instanceof ApiError && error.code;
    showOutcome("bad", [/** @type {Error} */ (error).message, !isRefused && TEXT.noAnswer]);
  } finally {
    setOff(button("opening-send"), false);
  }
}

export function startOpeningForm() {
  button("opening-send").textContent = LABELS.openingSend ?? "";
  input("opening-amount").addEventListener("input", () => {
    if (input("opening-amount").value.trim()) readAmount();
    else $("opening-echo").textContent = "";
  });
  form("opening-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
}
