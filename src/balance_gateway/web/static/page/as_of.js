// The day to show: a date field, month ends, and today. A date is asked when it is complete.

import { $, button, input, isOff, make, select, setOff, setText } from "./dom.js";
import { addDays, dayOf, showDay } from "./numbers.js";
import { change, getState, isAskableDay, listOddParts } from "./state.js";
import { LABELS, TEXT } from "./text.js";

const MONTHS = 13;
const ODD_LENGTH = 60;

/** @returns {string[]} the last days of the months before this one, newest first */
function listMonthEnds() {
  const today = new Date();
  return Array.from({ length: MONTHS }, (_, n) =>
    dayOf(new Date(today.getFullYear(), today.getMonth() - n, 0)));
}

function fillMonthEnds() {
  const field = select("month-end");
  const options = listMonthEnds().map((day) => {
    const option = make("option", "", showDay(day));
    option.value = day;
    return option;
  });
  const first = make("option", "", LABELS.monthEndChoice ?? "");
  first.value = "";
  field.replaceChildren(first, ...options);
}

/** Show the chosen day, and what is to be said of it. */
export function showAsOf() {
  const { asOf } = getState();
  input("as-of").value = asOf || dayOf(new Date());
  const isMonthEnd = [...select("month-end").options].some(({ value }) => value === asOf);
  select("month-end").value = isMonthEnd ? asOf : "";
  setOff(button("today"), !asOf);
  // A zone may be a day ahead of the browser's.
  const isFuture = asOf > addDays(dayOf(new Date()), 1);
  hint(isFuture ? TEXT.futureDay(showDay(asOf)) : "");
}

/** @param {string} text */
function hint(text) {
  setText($("as-of-hint"), text);
  $("as-of-hint").hidden = !text;
}

/** Say which parts of a link the page has left out, until the reader chooses something. */
export function showOddLink() {
  const parts = listOddParts().map((part) => (part.length > ODD_LENGTH ? `${part.slice(0, ODD_LENGTH)}…` : part));
  setText($("link-hint"), parts.length ? TEXT.oddLink(parts.join(", ")) : "");
  $("link-hint").hidden = !parts.length;
}

function commit() {
  const field = input("as-of");
  // Today is each account's own, which a date is not.
  const day = field.value === dayOf(new Date()) ? "" : field.value;
  if (field.validity.badInput || (day && !isAskableDay(day))) {
    hint(TEXT.oddDay);
    field.setAttribute("aria-invalid", "true");
    return;
  }
  field.removeAttribute("aria-invalid");
  if (day !== getState().asOf) change({ asOf: day });
  else showAsOf();
}

export function startAsOf() {
  fillMonthEnds();
  const field = input("as-of");
  let typed = false;
  field.addEventListener("keydown", (event) => {
    typed = true;
    if (event.key === "Enter") {
      event.preventDefault();
      commit();
    }
  });
  // While a year is typed the field has the years 0002, 0020 and 0202: only a picked day is asked here.
  field.addEventListener("change", () => {
    if (!typed) commit();
  });
  field.addEventListener("pointerdown", () => (typed = false));
  field.addEventListener("blur", () => {
    typed = false;
    commit();
  });
  startMonthEnds();
  button("today").addEventListener("click", () => {
    if (!isOff(button("today"))) change({ asOf: "" });
  });
  showAsOf();
}

function startMonthEnds() {
  const field = select("month-end");
  // Arrow keys pass over every month: asked is the one at which the reader stays.
  let passing = false;
  const choose = () => {
    passing = false;
    if (field.value && field.value !== getState().asOf) change({ asOf: field.value });
  };
  field.addEventListener("keydown", (event) => {
    passing = event.key !== "Enter" && event.key !== " ";
    if (event.key !== "Enter") return;
    event.preventDefault();
    choose();
  });
  field.addEventListener("pointerdown", () => (passing = false));
  field.addEventListener("change", () => {
    if (!passing) choose();
  });
  field.addEventListener("blur", choose);
}
