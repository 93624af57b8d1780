// What is wrong now, above everything else: connectors that are down; and the connectors' details.

import { makeAge, makeChip } from "./cells.js";
import { now, read } from "./api.js";
import { $, make, makeFacts, patchChildren, set, setText } from "./dom.js";
import { showDuration, showTime } from "./numbers.js";
import { CONNECTORS, DOWN } from "./queries.js";
import { FAILURES, HEALTH, PROVIDERS, TEXT } from "./text.js";
import { isStale } from "./view.js";

/** @typedef {import("./types.d.ts").Connector} Connector */
/** @typedef {import("./types.d.ts").Row} Row */

const CHIPS = { UNKNOWN: "wait", UP: "good", DEGRADED: "warn", DOWN: "bad" };

/** @param {Connector[]} connectors @param {AbortSignal} signal @returns {Promise<Connector[]>} those down */
export async function readOutages(connectors, signal) {
  const down = connectors.filter(({ health }) => health.state === "DOWN");
  if (!down.length) return [];
  const { data } = await read(DOWN, {}, signal);
  const details = /** @type {Connector[]} */ (data.connectors);
  return details.filter(({ health }) => health.state === "DOWN");
}

/** @param {Connector[]} down @param {Row[]} rows */
export function showOutages(down, rows) {
  const lines = down.map((connector) => describeOutage(connector, rows));
  const key = lines.join("\n");
  const waits = down.map(describeWait);
  // Set only when it differs, so that a screen reader does not read it at each refresh.
  if ($("outage").dataset.key !== key) {
    $("outage").dataset.key = key;
    $("outage").replaceChildren(...lines.map((line) => make("p", "", line, set(make("span", ""), { "aria-live": "off" }))));
  }
  // It counts down: a part of its own, which a screen reader does not read each time.
  $("outage").querySelectorAll("span").forEach((span, n) => setText(span, waits[n] ?? ""));
  $("outage").hidden = !down.length;
}

/** @param {Connector} connector @param {Row[]} rows */
function describeOutage({ name, provider, health }, rows) {
  const title = TEXT.connectorTitle(PROVIDERS[provider] || provider, name);
  const own = rows.filter(({ account }) => account.connector.name === name);
  const older = own.filter(isStale).length;
  const without = own.filter((row) => !row.account.balance).length;
  const since = health.downSince;
  const parts = [
    since ? TEXT.downSince(title, showTime(since)) : TEXT.down(title),
    !since && health.lastSuccessAt && TEXT.lastSuccess(showTime(health.lastSuccessAt)),
    older && TEXT.older(older),
    without && TEXT.withoutFigures(without),
  ];
  return `${parts.filter(Boolean).join("; ")}.`;
}

/** @param {Connector} connector @returns {string} when it is tried again; empty if that is not known */
function describeWait({ health }) {
  if (!health.retryAt) return "";
  const seconds = (Date.parse(health.retryAt) - now()) / 1000;
  return ` ${seconds > 0 ? TEXT.again(showDuration(seconds)) : TEXT.againNow}`;
}

/** @param {Connector[]} connectors */
export function showConnectorCount(connectors) {
  const up = connectors.filter(({ health }) => health.state !== "DOWN").length;
  setText($("connectors-title"), TEXT.connectorStates(up, connectors.length));
}

/** Read and show the connectors' details; only while a reader has opened them. @param {AbortSignal} signal */
export async function showConnectors(signal) {
  const { data } = await read(CONNECTORS, {}, signal);
  patchChildren($("connectors"), data.connectors.map(makeCard));
}

/** @param {Connector} connector */
function makeCard({ name, provider, health, budget }) {
  const left = budget?.requestsPerMinute
    ? TEXT.ofPerMinute(budget.remaining ?? 0, budget.requestsPerMinute)
    : TEXT.noLimit;
  const failure = health.lastFailureAt
    ? `${showTime(health.lastFailureAt)} · ${FAILURES[health.lastFailureCode || ""] || health.lastFailureCode}`
    : TEXT.none;
  return make(
    "article", "card",
    make("h3", "", make("span", "", name), makeChip(CHIPS[health.state], HEALTH[health.state] || "")),
    makeFacts([
      ["", PROVIDERS[provider] || provider],
      [TEXT.callsLeft, left],
      [TEXT.lastAnswer, health.lastSuccessAt ? makeAge(health.lastSuccessAt) : TEXT.none],
      [TEXT.lastFailure, failure],
    ]),
  );
}
