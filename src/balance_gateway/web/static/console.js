// The query console: sends what is typed in, and shows the answer as text, never as HTML.

import { INTROSPECTION, schemaText } from "/graphiql-schema.js";

const KEY = "balance-gateway-key"; // The dashboard's: signed in there, signed in here.
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

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // Not from the gateway, but from something in between.
  }
}

// Indents JSON without writing it anew: a number is shown digit for digit as it came.
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

// The variables go out as they were typed: read as numbers, large amounts would lose digits.
async function asked(query, variables) {
  const began = performance.now();
  const response = await fetch("/graphql", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json",
      Authorization: `Bearer ${$("key").value.trim()}`,
    },
    body: `{"query":${JSON.stringify(query)},"variables":${variables || "null"}}`,
  });
  const text = await response.text();
  const took = Math.round(performance.now() - began);
  const answer = parsed(text);
  return {
    answer,
    text: answer ? pretty(text) : text,
    status: `${response.status} · ${took} ms`,
    isBad: !response.ok || !answer || Boolean(answer.errors),
  };
}

async function run(work) {
  $("run").disabled = true;
  show("", "…", false);
  try {
    await work();
  } catch (error) {
    show(error.message, "not answered", true);
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
    const { text, status, isBad } = await asked($("query").value, variables);
    show(text, status, isBad);
  });
}

function showSchema() {
  return run(async () => {
    const { answer, text, status, isBad } = await asked(INTROSPECTION, "");
    show(answer?.data ? schemaText(answer.data.__schema) : text, status, isBad);
  });
}

function runOnKeys(event) {
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
document.addEventListener("keydown", runOnKeys);
