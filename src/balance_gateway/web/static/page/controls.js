// The controls around the table: find, filters, sort, group, refresh, and what can be taken away.

import { $, button, input, isOff, select, set } from "./dom.js";
import { change, getState } from "./state.js";
import { LABELS, TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Only} Only */
/** @typedef {import("./types.d.ts").SortColumn} SortColumn */

/** Columns that a reader sorts from the greatest first. */
const FALLING = ["bank", "ledger", "difference", "opening", "age"];

/** @returns {NodeListOf<HTMLElement>} */
const listHeaders = () => document.querySelectorAll("#table th[data-sort]");

/** Show in the controls what is chosen. */
export function showControls() {
  const { find, only, sort, descending, group, every } = getState();
  if (document.activeElement !== input("find")) input("find").value = find;
  for (const box of listBoxes()) box.checked = only.includes(/** @type {Only} */ (box.value));
  select("group").value = group;
  select("sort").value = `${descending ? "-" : ""}${sort}`;
  select("every").value = String(every);
  for (const header of listHeaders()) {
    const isSorted = header.dataset.sort === sort;
    header.setAttribute("aria-sort", isSorted ? (descending ? "descending" : "ascending") : "none");
  }
}

/** @returns {NodeListOf<HTMLInputElement>} */
const listBoxes = () => document.querySelectorAll('input[name="only"]');

/** @param {string | undefined} column */
function sortBy(column) {
  const { sort, descending } = getState();
  const isFalling = FALLING.includes(column || "");
  change({ sort: /** @type {SortColumn} */ (column), descending: sort === column ? !descending : isFalling });
}

function fillSort() {
  for (const header of listHeaders()) {
    const column = header.dataset.sort ?? "";
    const label = header.textContent ?? "";
    for (const [value, order] of [[column, TEXT.ascending], [`-${column}`, TEXT.descending]]) {
      select("sort").add(new Option(TEXT.sortBy(label, order ?? ""), value));
    }
  }
}

/** @param {{refresh: () => void, save: () => void}} page */
export function startControls({ refresh, save }) {
  fillSort();
  set(input("find"), { placeholder: LABELS.findHint ?? "" });
  input("find").addEventListener("input", () => change({ find: input("find").value }, { replace: true }));
  for (const box of listBoxes()) {
    box.addEventListener("change", () => {
      const only = [...listBoxes()].filter((each) => each.checked).map((each) => each.value);
      change({ only: /** @type {Only[]} */ (only) });
    });
  }
  select("group").addEventListener("change", () => change({ group: /** @type {any} */ (select("group").value) }));
  select("sort").addEventListener("change", () => {
    const { value } = select("sort");
    change({ sort: /** @type {SortColumn} */ (value.replace("-", "")), descending: value.startsWith("-") });
  });
  select("every").addEventListener("change", () => change({ every: Number(select("every").value) }, { replace: true }));
  for (const header of listHeaders()) {
    header.querySelector("button")?.addEventListener("click", () => sortBy(header.dataset.sort));
  }
  $("table").addEventListener("click", openAccount);
  button("clear").addEventListener("click", () => {
    change({ find: "", only: [] });
    input("find").value = "";
    input("find").focus();
  });
  button("csv").addEventListener("click", save);
  button("print").addEventListener("click", () => print());
  $("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isOff(button("refresh"))) refresh();
  });
  $("connectors-details").addEventListener("toggle", () => {
    if (/** @type {HTMLDetailsElement} */ ($("connectors-details")).open) refresh();
  });
  showControls();
}

/** Open an account in this page, unless the reader asks the browser for another tab. @param {MouseEvent} event */
function openAccount(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  if (getSelection()?.toString()) return;
  const link = /** @type {HTMLElement | null | undefined} */ (target.closest("tr")?.querySelector("a[data-account]"));
  if (!link) return;
  event.preventDefault();
  link.focus({ preventScroll: true }); // where the focus returns to
  change({ account: link.dataset.account ?? "" });
}

