// The query console: sends the query and shows the response as text, never as HTML.

import { INTROSPECTION, schemaText } from "./graphiql-schema.js";

const KEY = "balance-gateway-key"; // Shared with the dashboard, so that one sign-in serves both.
const FIRST = `query Accounts {
  bankAccounts(first: 20) {
    nodes { id name currency balance { bank { amount } ledger { amount } freshness { state } } }
  }
}`;

const $ = (id) => document.getElementById(id);

function show(text, status, isBad) {
  $("answer").textContent = text;
  $("status").textContent = status;
  $("status").className = isBad ? "bad" : "";
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // A response of an intermediary such as a proxy.
  }
}

// Indents JSON without parsing it: parsing would round large numbers.
function pretty(json) {
  let depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  const pieces = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) || [];
  return pieces
    .map((piece, index) => {
      const next = pieces[index + 1];
      if (piece === "{" || piece === "[") {
        depth += 1;
        return next === "}" || next === "]" ? piece : piece + line();
      }
      if (piece === "}" || piece === "]") {
        depth -= 1;
        return pieces[index - 1] === "{" || pieces[index - 1] === "[" ? piece : line() + piece;
      }
      if (piece === ",") return piece + line();
      return piece === ":" ? ": " : piece;
    })
    .join("");
}

// The variables are sent as typed: parsing them would round large numbers.
async function send(query, variables) {
  const started = performance.now();
  const response = await fetch("graphql", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json",
      Authorization: `Bearer ${$("key").value.trim()}`,
    },
    body: `{"query":${JSON.stringify(query)},"variables":${variables || "null"}}`,
  });
  const text = await response.text();
  const elapsed = Math.round(performance.now() - started);
  const result = parse(text);
  return {
    result,
    text: result ? pretty(text) : text,
    status: `${response.status} · ${elapsed} ms`,
    isBad: !response.ok || !result || Boolean(result.errors),
  };
}

async function run(work) {
  $("run").disabled = true;
  show("", "…", false);
  try {
    await work();
  } catch (error) {
    show(error.message, "failed", true);
  } finally {
    $("run").disabled = false;
  }
}

function runQuery() {
  return run(async () => {
    const variables = $("variables").value.trim();
    try {
      if (variables) JSON.parse(variables);
    } catch (error) {
      throw new Error(`The variables are not JSON: ${error.message}`);
    }
    const { text, status, isBad } = await send($("query").value, variables);
    show(text, status, isBad);
  });
}

function showSchema() {
  return run(async () => {
    const { result, text, status, isBad } = await send(INTROSPECTION, "");
    show(result?.data ? schemaText(result.data.__schema) : text, status, isBad);
  });
}

function runOnCtrlEnter(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  if (!$("run").disabled) runQuery();
}

$("key").value = sessionStorage.getItem(KEY) || "";
$("key").addEventListener("input", () => sessionStorage.setItem(KEY, $("key").value.trim()));
$("query").value = FIRST;
$("request").addEventListener("submit", (event) => {
  event.preventDefault();
  runQuery();
});
$("schema").addEventListener("click", (event) => {
  event.preventDefault();
  if (!$("run").disabled) showSchema();
});
document.addEventListener("keydown", runOnCtrlEnter);
