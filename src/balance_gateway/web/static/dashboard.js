// The dashboard: one GraphQL query loads the page. All values are set as text, never as HTML.

import { isNegative, isZero, shownAge, shownAmount } from "/money.js";

const QUERY = `query Dashboard($asOf: Date, $after: String, $first: Int!) {
  bankAccounts(first: $first, after: $after) {
    totalCount
    pageInfo { hasNextPage endCursor }
    nodes {
      id name currency provider
      connector { id }
      openingBalance { amount { amount } source effectiveAt }
      balance(asOf: $asOf) {
        asOf
        bank { amount } ledger { amount } difference { amount }
        freshness { state ageSeconds staleReason }
      }
    }
  }
  balanceTotals(asOf: $asOf) {
    currency complete included bankIncluded ledgerIncluded
    bank { amount } ledger { amount }
    missing { code bankAccount { id name } }
    oldestObservedAt
  }
  connectors {
    id provider
    health { state lastSuccessAt lastFailureAt lastFailureCode }
    budget { requestsPerMinute remaining }
  }
}`;

const PAGE = 200;
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

function amountOf(money) {
  if (!money) return make("span", "none", "–");
  const shown = shownAmount(money.amount);
  return make("span", isNegative(money.amount) ? "negative" : "", shown);
}

function notice(text) {
  $("notice").textContent = text || "";
  $("notice").hidden = !text;
}

async function query(variables, signal) {
  const response = await fetch("/graphql", {
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
  return answer;
}

async function loadAll(asOf, signal) {
  let page = await query({ asOf, after: null, first: PAGE }, signal);
  const board = { ...page.data, rows: rowsOf(page) };
  while (page.data.bankAccounts.pageInfo.hasNextPage) {
    const after = page.data.bankAccounts.pageInfo.endCursor;
    page = await query({ asOf, after, first: PAGE }, signal);
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
  }));
}

function rowOf({ account, problems }) {
  const known = account || { name: "Unreadable account", id: problems[0]?.extensions?.accountId || "" };
  const balance = known.balance;
  const row = make("tr", "");
  const title = make("th", "", known.name, make("span", "id", known.id));
  title.scope = "row";
  row.append(
    title,
    make("td", "", known.provider || "", make("span", "sub", known.connector?.id || "")),
    make("td", "", known.currency || ""),
    make("td", "amount", amountOf(balance?.bank)),
    make("td", "amount", amountOf(balance?.ledger)),
    make("td", differs(balance) ? "amount off" : "amount", amountOf(balance?.difference)),
    make("td", "amount", ...opening(known, problems)),
    make("td", "", ...freshness(balance, problems)),
  );
  row.dataset.find = [known.name, known.id, known.provider, known.currency].join(" ").toLowerCase();
  return row;
}

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

function freshness(balance, problems) {
  const cells = problems
    .filter((problem) => problem.field !== "openingBalance")
    .map((problem) => make("span", "problem", problem.message));
  if (cells.length) return [make("span", "chip failed", "Failed"), ...cells];
  if (!balance) return [];
  const { state, ageSeconds, staleReason } = balance.freshness;
  const label = { LIVE: "Live", CACHED: "Cached", STALE: "Stale" }[state];
  const age = state === "LIVE" && ageSeconds === 0 ? "" : ` · ${shownAge(ageSeconds)}`;
  const chip = make("span", `chip ${state.toLowerCase()}`, label + age);
  return staleReason ? [chip, make("span", "sub", staleReason)] : [chip];
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

function totalCard(total) {
  const partly = total.bankIncluded < total.included || total.ledgerIncluded < total.included;
  const chip = !total.complete
    ? make("span", "chip failed", `${total.missing.length} missing`)
    : partly
      ? make("span", "chip stale", "Partial")
      : make("span", "chip live", "Complete");
  const missing = total.missing.slice(0, 5).map((each) => `${each.bankAccount.name}: ${each.code}`);
  if (total.missing.length > 5) missing.push(`and ${total.missing.length - 5} more`);
  const withCount = (label, count) =>
    count === total.included ? label : `${label}, ${count} of ${total.included}`;
  return card(
    total.currency,
    chip,
    [
      [withCount("Bank", total.bankIncluded), amountOf(total.bank), "main"],
      [withCount("Ledger", total.ledgerIncluded), amountOf(total.ledger)],
      ["Accounts", String(total.included)],
    ],
    missing,
  );
}

function connectorCard(connector) {
  const { state, lastSuccessAt, lastFailureAt, lastFailureCode } = connector.health;
  const { requestsPerMinute, remaining } = connector.budget;
  const clock = (instant) => (instant ? new Date(instant).toLocaleTimeString() : "–");
  const label = state.charAt(0) + state.slice(1).toLowerCase();
  const budget = requestsPerMinute === null ? "no limit" : `${remaining} of ${requestsPerMinute}/min`;
  return card(
    connector.id,
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
  $("totals").replaceChildren(...board.balanceTotals.map(totalCard));
  $("connectors").replaceChildren(...board.connectors.map(connectorCard));
  const count = board.bankAccounts.totalCount;
  const at = new Date().toLocaleTimeString();
  $("status").textContent = `${count} ${count === 1 ? "account" : "accounts"}, read at ${at}.`;
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
    notice(error.message);
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
