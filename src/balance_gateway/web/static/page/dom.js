// Finds and makes elements. Texts are set as text, never as HTML.

/**
 * Find an element of the page that exists.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function $(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element ${id}.`);
  return found;
}

/** @param {string} id @returns {HTMLInputElement} */
export const input = (id) => /** @type {HTMLInputElement} */ ($(id));

/** @param {string} id @returns {HTMLSelectElement} */
export const select = (id) => /** @type {HTMLSelectElement} */ ($(id));

/** @param {string} id @returns {HTMLButtonElement} */
export const button = (id) => /** @type {HTMLButtonElement} */ ($(id));

/** @param {string} id @returns {HTMLFormElement} */
export const form = (id) => /** @type {HTMLFormElement} */ ($(id));

/**
 * Make an element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className empty for none
 * @param {...(Node | string | null | undefined)} children null and undefined are left out
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

/**
 * Set attributes of an element.
 *
 * @template {Element} Target
 * @param {Target} element
 * @param {Record<string, string | number>} attributes
 * @returns {Target}
 */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** Set a text only where it differs: a selection, or what a screen reader reads, stays as it is.
 * @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Make the children of an element as wanted, and keep the nodes that have not changed: a selection
 * and the focus stay in them.
 *
 * @param {Element} parent
 * @param {Node[]} wanted nodes without listeners
 */
export function patchChildren(parent, wanted) {
  wanted.forEach((fresh, n) => {
    const old = parent.childNodes[n];
    if (!old) parent.append(fresh);
    else if (old instanceof Text && fresh instanceof Text) {
      if (old.data !== fresh.data) old.data = fresh.data;
    } else if (old instanceof Element && fresh instanceof Element && old.tagName === fresh.tagName) patch(old, fresh);
    else old.replaceWith(fresh);
  });
  while (parent.childNodes.length > wanted.length) parent.lastChild?.remove();
}

/** Make an element as a fresh one is. @param {Element} old @param {Element} fresh */
export function patch(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  patchChildren(old, [...fresh.childNodes]);
}

/** Mark a button that must not be pressed; unlike a disabled one it keeps the focus.
 * @param {HTMLButtonElement} target @param {boolean} isOff */
export function setOff(target, isOff) {
  if (isOff) target.setAttribute("aria-disabled", "true");
  else target.removeAttribute("aria-disabled");
}

/** @param {HTMLButtonElement} target */
export const isOff = (target) => target.getAttribute("aria-disabled") === "true";

/**
 * Make a list of names and values; rows without a value are left out.
 *
 * @param {[string, Node | string | null | undefined | false, string?][]} facts name, value, class
 */
export function makeFacts(facts) {
  const list = make("dl", "facts");
  for (const [name, value, className] of facts) {
    if (!value) continue;
    list.append(make("div", "", make("dt", "", name), make("dd", className || "", value)));
  }
  return list;
}
