// Asks the gateway. Reads are GET requests with an If-None-Match of the page's own: an answer that
// has not changed is a 304, and balances never enter the browser's cache.

import { TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Answer} Answer */

const KEY = "balance-gateway-key"; // Shared with the query console, so that one sign-in serves both.
const KEPT_MAX = 200;

/** @type {Map<string, {etag: string, answer: Answer}>} by URL, the least recently used first */
const kept = new Map();
/** How far the gateway's clock is ahead of the browser's, in milliseconds. */
let ahead = 0;

/** A request that brought no data. */
export class ApiError extends Error {
  /** @param {string} message @param {string} code the gateway's code; empty without one */
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

export const getKey = () => sessionStorage.getItem(KEY) || "";

/** @param {string} key empty forgets it */
export function setKey(key) {
  kept.clear();
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/** The time at the gateway: the browser's clock may be wrong, and ages with it. */
export const now = () => Date.now() + ahead;

/** @returns {Promise<boolean>} whether a proxy adds the credential to each request */
export async function isSignedInByProxy() {
  try {
    const response = await fetch("page/credential", { cache: "no-store" });
    return response.ok && (await response.json()).present === true;
  } catch {
    return false;
  }
}

/** @returns {Record<string, string>} */
function buildHeaders() {
  const key = getKey();
  return { Accept: "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

/**
 * @param {string} url
 * @param {RequestInit} options
 */
async function send(url, options) {
  try {
    return await fetch(url, { cache: "no-store", ...options });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(TEXT.gone, "");
  }
}

/** @param {Response} response @returns {Promise<Answer>} */
async function readAnswer(response) {
  const date = Date.parse(response.headers.get("Date") || "");
  if (date && Math.abs(date - now()) > 1500) ahead = date - Date.now();
  /** @type {Answer | null} */
  let answer = null;
  try {
    answer = await response.json();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    // The page of a proxy, or an answer that was cut off.
  }
  if (answer?.data) return answer;
  const problem = answer?.errors?.[0];
  const code = problem?.extensions?.code || (response.status === 401 ? "UNAUTHENTICATED" : "");
  throw new ApiError(problem?.message || TEXT.answered(response.status), code);
}

/**
 * Read data; the same object as before while the gateway's answer is the same.
 *
 * @param {string} query
 * @param {Record<string, unknown>} variables
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answer>}
 */
export async function read(query, variables, signal) {
  const text = query.replace(/\s+/g, " ");
  const parameters = new URLSearchParams({ query: text, variables: JSON.stringify(variables) });
  const url = `graphql?${parameters}`;
  const known = kept.get(url);
  const headers = buildHeaders();
  if (known) headers["If-None-Match"] = known.etag;
  const response = await send(url, { headers, signal: signal ?? null });
  if (response.status === 304 && known) {
    keep(url, known);
    return known.answer;
  }
  const answer = await readAnswer(response);
  const etag = response.headers.get("ETag");
  if (etag) keep(url, { etag, answer });
  return answer;
}

/** @param {string} url @param {{etag: string, answer: Answer}} entry */
function keep(url, entry) {
  kept.delete(url);
  kept.set(url, entry);
  if (kept.size > KEPT_MAX) kept.delete(/** @type {string} */ (kept.keys().next().value));
}

/**
 * Change data.
 *
 * @param {string} query
 * @param {Record<string, unknown>} variables
 * @returns {Promise<Answer>}
 */
export async function write(query, variables) {
  const headers = { ...buildHeaders(), "Content-Type": "application/json" };
  const body = JSON.stringify({ query, variables });
  return readAnswer(await send("graphql", { method: "POST", headers, body }));
}
