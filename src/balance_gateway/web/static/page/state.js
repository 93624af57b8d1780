// What the reader has chosen, kept in the page's address, so that a link and "back" restore it.

/** @typedef {import("./types.d.ts").State} State */

const COLUMNS = ["name", "provider", "currency", "bank", "ledger", "difference", "opening", "age"];
const GROUPS = ["provider", "connector", "currency"];
const ONLY = ["differences", "stale", "unsettled"];
const EVERY = [0, 10, 60];
const EVERY_DEFAULT = 60;

/** @type {((state: State, before: State) => void)[]} */
const listeners = [];
/** @type {State} */
let current = read();

/** @param {string} day */
export function isAskableDay(day) {
  const [year = 0] = day.split("-").map(Number);
  if (!/^\d{4}-\d{2}-\d{2}$/.test(day) || year < 1990 || year > 2100) return false;
  // A day such as February 30 is taken for one of March.
  const at = Date.parse(`${day}T00:00:00Z`);
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(day);
}

/** Whether a value of the address is one that the page knows, by name. @type {Map<string, (value: string) => boolean>} */
const CHECKS = new Map([
  ["as-of", isAskableDay],
  ["find", () => true],
  ["only", (value) => value.split(",").every((each) => ONLY.includes(each))],
  ["sort", (value) => COLUMNS.includes(value.replace(/^-/, ""))],
  ["group", (value) => GROUPS.includes(value)],
  ["account", () => true],
  ["every", (value) => EVERY.includes(Number(value))],
]);

/** @returns {string[]} the parts of the address that the page does not know, and leaves out */
export function listOddParts() {
  const given = [...new URLSearchParams(location.search)];
  return given.filter(([name, value]) => value && !CHECKS.get(name)?.(value)).map(([name, value]) => `${name}=${value}`);
}

/** @returns {State} */
function read() {
  const given = new URLSearchParams(location.search);
  const get = (/** @type {string} */ name) => given.get(name) || "";
  const sort = get("sort").replace(/^-/, "");
  const every = given.has("every") ? Number(get("every")) : EVERY_DEFAULT;
  return {
    asOf: isAskableDay(get("as-of")) ? get("as-of") : "",
    find: get("find"),
    only: /** @type {any} */ (get("only").split(",").filter((each) => ONLY.includes(each))),
    sort: /** @type {any} */ (COLUMNS.includes(sort) ? sort : "name"),
    descending: COLUMNS.includes(sort) && get("sort").startsWith("-"),
    group: /** @type {any} */ (GROUPS.includes(get("group")) ? get("group") : ""),
    account: get("account"),
    every: EVERY.includes(every) ? every : EVERY_DEFAULT,
  };
}

/** @param {State} state */
function buildAddress(state) {
  const order = (state.descending ? "-" : "") + state.sort;
  const chosen = new URLSearchParams();
  if (state.asOf) chosen.set("as-of", state.asOf);
  if (state.find) chosen.set("find", state.find);
  if (state.only.length) chosen.set("only", state.only.join(","));
  if (order !== "name") chosen.set("sort", order);
  if (state.group) chosen.set("group", state.group);
  if (state.account) chosen.set("account", state.account);
  if (state.every !== EVERY_DEFAULT) chosen.set("every", String(state.every));
  return location.pathname + (chosen.size ? `?${chosen}` : "");
}

export const getState = () => current;

/** @param {Partial<State>} changes @returns {string} the address of the page after a change */
export const addressOf = (changes) => buildAddress({ ...current, ...changes });

/**
 * Change what is chosen.
 *
 * @param {Partial<State>} changes
 * @param {{replace?: boolean}} [options] replace: "back" skips what was before
 */
export function change(changes, { replace = false } = {}) {
  const before = current;
  current = { ...before, ...changes };
  const address = buildAddress(current);
  if (address === buildAddress(before)) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  for (const listener of listeners) listener(current, before);
}

/** @param {(state: State, before: State) => void} listener */
export const onChange = (listener) => listeners.push(listener);

addEventListener("popstate", () => {
  const before = current;
  current = read();
  for (const listener of listeners) listener(current, before);
});
