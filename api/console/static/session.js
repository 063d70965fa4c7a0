// The session: who looks, and what they may be shown.

/**
 * @typedef {object} Me
 * @property {"account" | "programme" | "operator"} kind
 * @property {string} subject
 * @property {boolean} needs_token
 * @property {string} version
 */

const TOKEN = "carbonflow.token";

/** Who looks; null until the API has said so. @type {Me | null} */
let me = null;

/** @returns {string} The token, which this tab keeps until it is closed; "" if there is none. */
export function token() {
  return sessionStorage.getItem(TOKEN) ?? "";
}

/** @param {string} value */
export function keepToken(value) {
  sessionStorage.setItem(TOKEN, value);
}

/** Forget the token and who looks. */
export function forget() {
  sessionStorage.removeItem(TOKEN);
  me = null;
}

/** @returns {Me | null} */
export function whoLooks() {
  return me;
}

/** @param {Me} value */
export function setWhoLooks(value) {
  me = value;
}

/**
 * Return whether a view is for those who look.
 *
 * @param {string} view
 * @returns {boolean}
 */
export function maySee(view) {
  const kind = me?.kind ?? "account";
  if (view === "refusals") return kind === "operator";
  if (view === "pipeline" || view === "carbon") return kind !== "account";
  return true;
}
