// Signing in: with a key that the reader pastes, or by a proxy that adds the credential itself.

import { getKey, isSignedInByProxy, read, setKey } from "./api.js";
import { $, button, form, input } from "./dom.js";
import { SESSION } from "./queries.js";
import { TEXT } from "./text.js";

/** @typedef {import("./types.d.ts").Session} Session */

let isByProxy = false;
/** @type {() => void} */
let onSignIn = () => {};

/** Whether there is a credential to ask with. */
export const isSignedIn = () => isByProxy || Boolean(getKey());

/** @returns {Promise<Session>} */
export async function readSession() {
  const { data } = await read(SESSION, {});
  return /** @type {Session} */ (data);
}

/** @param {string} text empty hides it */
export function showNotice(text) {
  if ($("notice").textContent !== text) $("notice").textContent = text;
  $("notice").hidden = !text;
}

/** @param {Session} session @returns {string} why the page cannot show balances; empty if it can */
export function findHindrance({ viewer }) {
  return viewer.scopes.includes("balances:read") ? "" : TEXT.noReadScope;
}

/** Ask for a key, or for a new session at the proxy. @param {string} reason empty for none */
export function askForKey(reason) {
  setKey("");
  showNotice(isByProxy && reason ? TEXT.sessionEnded : reason);
  $("sign-in").hidden = isByProxy;
  $("board").hidden = $("controls").hidden = true;
  $("tenant").textContent = "";
  if (!isByProxy) input("key").focus();
}

/** @param {() => void} whenSignedIn called with a credential to try */
export async function startSession(whenSignedIn) {
  onSignIn = whenSignedIn;
  form("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(input("key").value.trim());
    input("key").value = "";
    showNotice("");
    onSignIn();
    // The form that had the focus is hidden.
    $("page-title").focus();
  });
  button("sign-out").addEventListener("click", () => askForKey(""));
  isByProxy = !getKey() && (await isSignedInByProxy());
  button("sign-out").hidden = isByProxy;
  if (isSignedIn()) onSignIn();
  else askForKey("");
}
