// Where an account's figures come from, in the source's own words; asked only when a reader wants it.

import { read } from "./api.js";
import { $, button, isOff, make, makeFacts, setOff } from "./dom.js";
import { showInstant } from "./numbers.js";
import { EXPLAIN } from "./queries.js";
import { getState } from "./state.js";
import { LABELS, TEXT } from "./text.js";

/** @param {boolean} isAllowed whether the reader may ask */
export function showExplainButton(isAllowed) {
  button("explain").hidden = !isAllowed;
  $("explanation").replaceChildren();
}

async function explain() {
  if (isOff(button("explain"))) return;
  const { account: id, asOf } = getState();
  setOff(button("explain"), true);
  $("explanation").replaceChildren(make("p", "hint", TEXT.loading));
  try {
    const answer = await read(EXPLAIN, { id, asOf: asOf || null });
    const found = answer.data.explainBalance;
    if (!found) throw new Error(answer.errors?.[0]?.message || TEXT.unknown);
    if (id === getState().account) $("explanation").replaceChildren(...describe(found));
  } catch (error) {
    $("explanation").replaceChildren(make("p", "problem", /** @type {Error} */ (error).message));
  } finally {
    setOff(button("explain"), false);
  }
}

/** @param {any} found @returns {Node[]} */
function describe({ timeZone, dayEndsAt, balance, openingBalance, overlaps }) {
  const others = overlaps.map((/** @type {any} */ each) => `${each.accountId} (${each.kind.toLowerCase()})`);
  return [
    makeFacts([
      [TEXT.timeZone, timeZone],
      [TEXT.dayEnds, showInstant(dayEndsAt)],
      [TEXT.sameMoney, others.join(", ")],
    ]),
    make("h4", "", TEXT.figures),
    ...describePart(balance),
    make("h4", "", LABELS.opening ?? ""),
    ...describePart(openingBalance),
  ];
}

/** @param {any} part @returns {Node[]} */
function describePart({ problem, readProblem, evidence }) {
  const { kept, calls, bound, figures, derivedFromDay, recordedWriteId, difference } = evidence;
  const failed = [problem, readProblem].filter(Boolean).map(({ message }) => make("p", "problem", message));
  const facts = makeFacts([
    ...figures.map((/** @type {any} */ each) => [
      each.figure.toLowerCase().replace("_", " "),
      `${each.fields.map((/** @type {any} */ field) => `${field.name} = ${field.text}`).join(", ")}; ${each.rule}`,
      "long",
    ]),
    [TEXT.askedUntil, bound && `${bound.parameter} = ${bound.sent}`],
    [TEXT.derivedFrom, derivedFromDay],
    [TEXT.recordedBy, recordedWriteId],
    [TEXT.keptUntil, kept && showInstant(kept.freshUntil)],
    [TEXT.readDiffers, difference, "long"],
  ]);
  const lines = calls.map((/** @type {any} */ call) => {
    const sent = call.parameters.map((/** @type {any} */ each) => `${each.name}=${each.value}`).join(" ");
    return make("li", "", [call.method, call.endpoint || call.operation, sent].filter(Boolean).join(" "));
  });
  return [...failed, facts, ...(lines.length ? [make("ul", "calls", ...lines)] : [])];
}

export function startExplaining() {
  button("explain").addEventListener("click", explain);
}
