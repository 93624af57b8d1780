// A table of any length of which only the visible rows, of one height, are in the document.

import { make, set } from "./dom.js";

/** Rows above and below the window, so that the keyboard finds the next one. */
const SPARE = 8;

/**
 * @template {{key: string}} Item
 */
export class WindowedTable {
  /**
   * @param {HTMLTableSectionElement} body
   * @param {number} columns
   * @param {(item: Item) => HTMLTableRowElement} build
   */
  constructor(body, columns, build) {
    this.body = body;
    this.build = build;
    /** @type {Item[]} */
    this.items = [];
    /** @type {Map<string, {content: unknown, element: HTMLTableRowElement}>} */
    this.built = new Map();
    /** Another number builds every row again. */
    this.edition = 0;
    this.isWhole = false;
    this.focused = "";
    this.isPlanned = false;
    this.above = makeSpacer(columns);
    this.below = makeSpacer(columns);
    for (const name of ["scroll", "resize"]) addEventListener(name, () => this.plan(), { passive: true });
    addEventListener("beforeprint", () => this.layOutAll(true));
    addEventListener("afterprint", () => this.layOutAll(false));
    body.addEventListener("focusin", (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest("tr");
      this.focused = row?.dataset.key || "";
    });
  }

  /** @param {Item[]} items @param {(item: Item) => unknown} getContent rows of the same content are kept */
  show(items, getContent) {
    this.items = items;
    this.getContent = getContent;
    this.render();
  }

  /** Build the visible rows again, for what changes with time alone. */
  renew() {
    this.edition += 1;
    this.render();
  }

  plan() {
    if (this.isPlanned) return;
    this.isPlanned = true;
    requestAnimationFrame(() => {
      this.isPlanned = false;
      this.render();
    });
  }

  /** @param {boolean} isWhole whether all rows are in the document, as for printing */
  layOutAll(isWhole) {
    this.isWhole = isWhole;
    this.render();
  }

  /** @returns {[number, number]} */
  findWindow() {
    if (this.isWhole) return [0, this.items.length];
    const height = this.getRowHeight();
    const top = -this.body.getBoundingClientRect().top;
    const first = Math.floor(top / height) - SPARE;
    const last = Math.ceil((top + innerHeight) / height) + SPARE;
    const clamp = (/** @type {number} */ n) => Math.min(Math.max(n, 0), this.items.length);
    return [clamp(first), clamp(last)];
  }

  getRowHeight() {
    return Number.parseInt(getComputedStyle(this.body).getPropertyValue("--row"), 10);
  }

  render() {
    const [first, last] = this.findWindow();
    const height = this.getRowHeight();
    this.above.cell.style.height = `${first * height}px`;
    this.below.cell.style.height = `${(this.items.length - last) * height}px`;
    /** @type {typeof this.built} */
    const built = new Map();
    const wanted = [this.above.row];
    for (let index = first; index < last; index += 1) {
      const item = /** @type {Item} */ (this.items[index]);
      const entry = this.findBuilt(item);
      entry.element.setAttribute("aria-rowindex", String(index + 2));
      built.set(item.key, entry);
      wanted.push(entry.element);
    }
    wanted.push(this.below.row);
    this.built = built;
    this.place(wanted);
  }

  /** @param {Item} item */
  findBuilt(item) {
    const content = this.getContent?.(item);
    const known = this.built.get(item.key);
    if (known && known.content === content && known.element.dataset.edition === String(this.edition)) return known;
    const element = this.build(item);
    element.dataset.key = item.key;
    element.dataset.edition = String(this.edition);
    return { content, element };
  }

  /** Put rows in their order with as few moves as possible, and the focus back. @param {HTMLElement[]} wanted */
  place(wanted) {
    const hadFocus = this.body.contains(document.activeElement);
    const keep = new Set(wanted);
    for (const child of [...this.body.children]) {
      if (!keep.has(/** @type {HTMLElement} */ (child))) child.remove();
    }
    wanted.forEach((element, index) => {
      const there = this.body.children[index];
      if (there !== element) this.body.insertBefore(element, there ?? null);
    });
    const isLost = !document.activeElement || document.activeElement === document.body;
    if (this.focused && isLost && (hadFocus || this.isAway)) {
      const row = this.built.get(this.focused)?.element;
      this.isAway = !row;
      /** @type {HTMLElement | null | undefined} */ (row?.querySelector("a"))?.focus({ preventScroll: true });
    } else if (!isLost) {
      this.isAway = false;
    }
  }
}

/** @param {number} columns */
function makeSpacer(columns) {
  const cell = make("td", "");
  cell.colSpan = columns;
  const row = set(make("tr", "spacer", cell), { "aria-hidden": "true" });
  return { row, cell };
}
