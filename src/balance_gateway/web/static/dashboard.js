// The dashboard: one GraphQL query loads the page. All values are set as text, never as HTML.

import { isNegative, isZero, shownAge, shownAmount } from "./money.js";

const QUERY = `query Dashboard($asOf: Date, $after: String, $first: Int!, $summary: Boolean!) {
  bankAccounts(first: $first, after: $after) {
    totalCount
    pageInfo { hasNextPage endCursor }
    nodes {
      id name currency provider
      connector { name }
      openingBalance { amount { amount } source effectiveAt }
      balance(asOf: $asOf) {
        asOf
        bank { amount } ledger { amount } difference { amount }
        bankMissing ledgerMissing differenceMissing
        freshness { state observedAt staleReason }
      }
    }
  }
  balanceTotals(asOf: $asOf) @include(if: $summary) {
    currency complete included bankIncluded ledgerIncluded staleIncluded
    bank { amount } ledger { amount }
    missing { code reason bankAccount { id name } }
    overlapping firstDay lastDay oldestObservedAt oldestSourcedAt
  }
  connectors @include(if: $summary) {
    name provider
    health { state lastSuccessAt lastFailureAt lastFailureCode }
    budget { requestsPerMinute remaining }
  }
}`;

const PAGE = 500;
const REFRESH_MS = 5000;
const KEY = "balance-gateway-key";

const $ = (id) => document.getElementById(id);
let asking = null;
let timer = null;

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const REASONS = {
  NO_OPENING_BALANCE: "no opening balance",
  BEFORE_OPENING: "before the opening balance",
  NOT_OFFERED: "not offered",
  NOT_IN_FILE: "not in the file",
  OTHER_BASIS: "on another basis",
};

function amountOf(money, reason) {
  if (!money) return make("span", "none", REASONS[reason] || "–");
  const shown = shownAmount(money.amount);
  return make("span", isNegative(money.amount) ? "negative" : "", shown);
}

function notice(text) {
  $("notice").textContent = text || "";
  $("notice").hidden = !text;
}

async function query(variables, signal) {
  const response = await fetch("graphql", {
    method: "POST",
    signal,
    headers: {
      "Content-Type": "application/json",
      Accept: "application/json",
      Authorization: `Bearer ${sessionStorage.getItem(KEY)}`,
    },
    body: JSON.stringify({ query: QUERY, variables }),
  });
  const answer = await response.json();
  if (!answer.data) {
    const error = new Error(answer.errors?.[0]?.message || `The gateway responded with status ${response.status}.`);
    error.code = answer.errors?.[0]?.extensions?.code;
    throw error;
  }
  // The gateway's clock: the browser's may be wrong, and ages with it.
  answer.at = Date.parse(response.headers.get("Date")) || Date.now();
  return answer;
}

async function loadAll(asOf, signal) {
  // The totals and the connectors are the same for every page of accounts.
  let page = await query({ asOf, after: null, first: PAGE, summary: true }, signal);
  const board = { ...page.data, at: page.at, rows: rowsOf(page) };
  while (page.data.bankAccounts.pageInfo.hasNextPage) {
    const after = page.data.bankAccounts.pageInfo.endCursor;
    page = await query({ asOf, after, first: PAGE, summary: false }, signal);
    board.rows.push(...rowsOf(page));
  }
  return board;
}

function rowsOf(answer) {
  const problems = new Map();
  for (const error of answer.errors || []) {
    const [root, list, index, field] = error.path || [];
    if (root !== "bankAccounts" || list !== "nodes") continue;
    problems.set(index, [...(problems.get(index) || []), { field, ...error }]);
  }
  return answer.data.bankAccounts.nodes.map((account, index) => ({
    account,
    problems: problems.get(index) || [],
    at: answer.at,
  }));
}

function rowOf({ account, problems, at }) {
  const known = account || { name: "Unreadable account", id: problems[0]?.extensions?.accountId || "" };
  const balance = known.balance;
  const row = make("tr", "");
  const title = make("th", "", known.name, make("span", "id", known.id));
  title.scope = "row";
  row.append(
    title,
    make("td", "", known.provider || "", make("span", "sub", known.connector?.name || "")),
    make("td", "", known.currency || ""),
    make("td", "amount", amountOf(balance?.bank, balance?.bankMissing)),
    make("td", "amount", amountOf(balance?.ledger, balance?.ledgerMissing)),
    make("td", differs(balance) ? "amount off" : "amount", amountOf(balance?.difference, balance?.differenceMissing)),
    make("td", "amount", ...opening(known, problems)),
    make("td", "", ...freshness(balance, problems, at), dayOf(balance)),
  );
  row.dataset.find = [known.name, known.id, known.provider, known.currency].join(" ").toLowerCase();
  return row;
}

// Not asked from the gateway: its response would differ every second.
const ageSeconds = (instant, now) => Math.max(0, Math.floor((now - new Date(instant)) / 1000));

const differs = (balance) => Boolean(balance?.difference && !isZero(balance.difference.amount));

function opening(account, problems) {
  const failed = problems.find((problem) => problem.field === "openingBalance");
  if (failed) return [make("span", "problem", failed.message)];
  const value = account.openingBalance;
  if (!value) return [make("span", "none", "not set")];
  const day = value.effectiveAt ? `on ${value.effectiveAt.slice(0, 10)}` : "";
  const source = value.source === "PROVIDER" ? "" : value.source.toLowerCase().replaceAll("_", " ");
  return [amountOf(value.amount), make("span", "sub", [day, source].filter(Boolean).join(", "))];
}

function freshness(balance, problems, now) {
  const cells = problems
    .filter((problem) => problem.field !== "openingBalance")
    .map((problem) => make("span", "problem", problem.message));
  if (cells.length) return [make("span", "chip failed", "Failed"), ...cells];
  if (!balance) return [];
  const { state, observedAt, staleReason } = balance.freshness;
  const seconds = ageSeconds(observedAt, now);
  const label = { LIVE: "Live", CACHED: "Cached", STALE: "Stale" }[state];
  const age = state === "LIVE" && seconds === 0 ? "" : ` · ${shownAge(seconds)}`;
  const chip = make("span", `chip ${state.toLowerCase()}`, label + age);
  return staleReason ? [chip, make("span", "sub", staleReason)] : [chip];
}

function dayOf(balance) {
  return balance ? make("span", "sub", balance.asOf) : null;
}

function card(title, chip, facts, missing) {
  const list = make("dl", "facts");
  for (const [name, value, className] of facts) {
    list.append(make("div", "", make("dt", "", name), make("dd", className || "", value)));
  }
  const heading = make("h3", "", make("span", "", title), chip);
  const lines = missing.map((text) => make("li", "", text));
  return make("article", "card", heading, list, lines.length ? make("ul", "missing", ...lines) : null);
}

function totalChip(total) {
  if (!total.complete) return make("span", "chip failed", `${total.missing.length} missing`);
  if (total.staleIncluded) {
    return make("span", "chip stale", `${total.staleIncluded} of ${total.included} stale`);
  }
  // Such a total is of no single day.
  if (total.firstDay !== total.lastDay) return make("span", "chip stale", "Several days");
  const partly = total.bankIncluded < total.included || total.ledgerIncluded < total.included;
  return partly ? make("span", "chip stale", "Partial") : make("span", "chip live", "Complete");
}

function totalCard(total, now) {
  const missing = total.missing
    .slice(0, 5)
    .map((each) => `${each.bankAccount.name}: ${REASONS[each.reason] || each.code}`);
  if (total.missing.length > 5) missing.push(`and ${total.missing.length - 5} more`);
  const withCount = (label, count) =>
    count === total.included ? label : `${label}, ${count} of ${total.included}`;
  const age = (instant) => shownAge(ageSeconds(instant, now));
  const sameDay = total.firstDay === total.lastDay;
  const days = sameDay ? total.firstDay : `${total.firstDay} to ${total.lastDay}`;
  const optional = [
    total.staleIncluded && ["Stale", `${total.staleIncluded} of ${total.included}`, "old"],
    total.oldestObservedAt && ["Oldest read", `${age(total.oldestObservedAt)} ago`],
    total.oldestSourcedAt && ["Oldest from the bank", `${age(total.oldestSourcedAt)} ago`],
    total.overlapping.length && ["Not added twice", total.overlapping.join(", ")],
  ];
  const article = card(
    total.currency,
    totalChip(total),
    [
      [withCount("Bank", total.bankIncluded), amountOf(total.bank), "main"],
      [withCount("Ledger", total.ledgerIncluded), amountOf(total.ledger)],
      ["Accounts", String(total.included)],
      [sameDay ? "Day" : "Days", days, sameDay ? "" : "old"],
      ...optional.filter(Boolean),
    ],
    missing,
  );
  if (total.staleIncluded) article.classList.add("stale");
  return article;
}

function showOutages(connectors) {
  const down = connectors.filter((connector) => connector.health.state === "DOWN");
  const since = (instant) => (instant ? new Date(instant).toLocaleTimeString() : "unknown");
  const names = down.map((each) => `${each.name} (last success: ${since(each.health.lastSuccessAt)})`);
  $("outage").textContent = `Down: ${names.join(", ")}. Balances from there may be old or missing.`;
  $("outage").hidden = !down.length;
}

function connectorCard(connector) {
  const { state, lastSuccessAt, lastFailureAt, lastFailureCode } = connector.health;
  const { requestsPerMinute, remaining } = connector.budget;
  const clock = (instant) => (instant ? new Date(instant).toLocaleTimeString() : "–");
  const label = state.charAt(0) + state.slice(1).toLowerCase();
  const budget = requestsPerMinute === null ? "no limit" : `${remaining} of ${requestsPerMinute}/min`;
  return card(
    connector.name,
    make("span", `chip ${state.toLowerCase()}`, label),
    [
      ["Provider", connector.provider],
      ["Calls left", budget],
      ["Last success", clock(lastSuccessAt)],
      ["Last failure", lastFailureAt ? `${clock(lastFailureAt)} ${lastFailureCode}` : "–"],
    ],
    [],
  );
}

function show(board) {
  $("accounts").replaceChildren(...board.rows.map(rowOf));
  $("totals").replaceChildren(...board.balanceTotals.map((total) => totalCard(total, board.at)));
  showOutages(board.connectors);
  $("connectors").replaceChildren(...board.connectors.map(connectorCard));
  const count = board.bankAccounts.totalCount;
  const at = new Date().toLocaleTimeString();
  $("status").textContent = `${count} ${count === 1 ? "account" : "accounts"}, read at ${at}.`;
  $("board").classList.remove("outdated");
  find();
}

function find() {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of $("accounts").children) {
    row.hidden = !words.every((word) => row.dataset.find.includes(word));
  }
}

async function refresh() {
  asking?.abort();
  const mine = (asking = new AbortController());
  $("refresh").disabled = true;
  if (!$("accounts").children.length) $("status").textContent = "Reading balances…";
  try {
    show(await loadAll($("as-of").value || null, mine.signal));
    notice("");
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.code === "UNAUTHENTICATED") return signOut(error.message);
    const isShown = Boolean($("accounts").children.length);
    $("board").classList.toggle("outdated", isShown);
    notice(error.message + (isShown ? " The balances below are from before." : ""));
  } finally {
    if (asking === mine) {
      $("refresh").disabled = false;
      schedule();
    }
  }
}

function schedule() {
  clearTimeout(timer);
  if ($("auto").checked && sessionStorage.getItem(KEY)) timer = setTimeout(refresh, REFRESH_MS);
}

function signedIn() {
  const known = Boolean(sessionStorage.getItem(KEY));
  $("sign-in").hidden = known;
  $("board").hidden = $("controls").hidden = !known;
  if (known) refresh();
  else $("key").focus();
}

function signOut(reason) {
  asking?.abort();
  clearTimeout(timer);
  sessionStorage.removeItem(KEY);
  for (const id of ["accounts", "totals", "connectors"]) $(id).replaceChildren();
  notice(reason);
  signedIn();
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("key").value.trim());
  $("key").value = "";
  notice("");
  signedIn();
});
$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  refresh();
});
$("as-of").addEventListener("change", refresh);
$("today").addEventListener("click", () => {
  $("as-of").value = "";
  refresh();
});
$("auto").addEventListener("change", schedule);
$("find").addEventListener("input", find);
$("sign-out").addEventListener("click", () => signOut(""));
signedIn();
