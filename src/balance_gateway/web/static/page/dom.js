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
