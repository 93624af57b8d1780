// A table of any length of which only the visible rows, of one height, are in the document.

import { make, patch, set } from "./dom.js";

/** Rows above and below the window, so that scrolling finds them there. */
const SPARE = 8;
/** A table that has not jumped for so long is at rest. */
const REST_MS = 100;

/** Keys that move the focus, with how many rows; of a page as many as are seen at once. @type {Record<string, number>} */
const MOVES = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
const PAGES = { PageDown: 1, PageUp: -1 };

/**
 * @template {{key: string}} Item
 */
export class WindowedTable {
  /**
   * @param {HTMLTableSectionElement} body
   * @param {number} columns
   * @param {(item: Item) => HTMLTableRowElement} build
   * @param {(item: Item) => boolean} hasLink whether the row has a link, which takes the focus
   */
  constructor(body, columns, build, hasLink) {
    this.body = body;
    this.build = build;
    this.hasLink = hasLink;
    /** @type {Item[]} */
    this.items = [];
    /** @type {Map<string, {content: unknown, element: HTMLTableRowElement}>} */
    this.built = new Map();
    this.isWhole = false;
    this.focused = "";
    this.isPlanned = false;
    /** How many rows of the document are above what is seen. */
    this.hidden = 0;
    this.firstBuilt = 0;
    this.lastBuilt = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.resting = undefined;
    this.above = makeSpacer(columns);
    this.below = makeSpacer(columns);
    for (const name of ["scroll", "resize"]) addEventListener(name, () => this.plan(), { passive: true });
    addEventListener("beforeprint", () => this.layOutAll(true));
    addEventListener("afterprint", () => this.layOutAll(false));
    body.addEventListener("focusin", (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest("tr");
      this.focused = row?.dataset.key || "";
      this.markEntry();
    });
    body.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** @param {Item[]} items @param {(item: Item) => unknown} getContent rows of the same content are kept */
  show(items, getContent) {
    this.items = items;
    this.getContent = getContent;
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
    const [above, below] = [Math.floor(top / height), Math.ceil((top + innerHeight) / height)];
    // While a reader drags through the table no row is seen twice: the spare ones are built when that rests.
    const isJump = above > this.lastBuilt || below < this.firstBuilt;
    const spare = isJump ? 1 : SPARE;
    clearTimeout(this.resting);
    if (isJump) this.resting = setTimeout(() => this.plan(), REST_MS);
    const first = above - spare;
    const last = below + spare;
    [this.firstBuilt, this.lastBuilt] = [first, last];
    this.hidden = Math.max(Math.min(spare, first + spare), 0);
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
    this.markEntry();
  }

  /** Let Tab reach one row, and leave the table from there: the last one in use, else the first that is seen. */
  markEntry() {
    const links = [...this.built].flatMap(([key, { element }]) => {
      const link = element.querySelector("a");
      return link ? [{ key, link }] : [];
    });
    const entry = links.find(({ key }) => key === this.focused) ?? links[Math.min(this.hidden, links.length - 1)];
    for (const each of links) each.link.tabIndex = each === entry ? 0 : -1;
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
    const page = Math.max(Math.floor(innerHeight / this.getRowHeight()) - 2, 1);
    const step = MOVES[key] ?? (PAGES[/** @type {"PageUp"} */ (key)] ?? 0) * page;
    if (!step || altKey || ctrlKey || metaKey || shiftKey) return;
    event.preventDefault();
    const keys = this.items.filter(this.hasLink).map((item) => item.key);
    const to = Math.min(Math.max(keys.indexOf(this.focused) + step, 0), keys.length - 1);
    this.focusRow(keys[to] ?? "");
  }

  /** Focus the link of a row, and scroll no more than is needed to see it. @param {string} key */
  focusRow(key) {
    const index = this.items.findIndex((item) => item.key === key);
    if (index < 0) return;
    const height = this.getRowHeight();
    const top = this.body.getBoundingClientRect().top + index * height;
    const covered = /** @type {HTMLElement | null} */ (this.body.previousElementSibling)?.offsetHeight ?? 0;
    if (top < covered) scrollBy(0, top - covered);
    else if (top + height > innerHeight) scrollBy(0, top + height - innerHeight);
    this.render();
    this.built.get(key)?.element.querySelector("a")?.focus({ preventScroll: true });
  }

  /** @param {Item} item */
  findBuilt(item) {
    const content = this.getContent?.(item);
    const known = this.built.get(item.key);
    if (known && known.content === content) return known;
    const fresh = this.build(item);
    if (known) patch(known.element, fresh);
    const element = known?.element ?? fresh;
    element.dataset.key = item.key;
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
