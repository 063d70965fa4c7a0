// Light and dark: as the system has it, until somebody chooses.

/** @typedef {"light" | "dark"} Theme */

const KEPT = "carbonflow.theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

/** @returns {Theme} */
export function theme() {
  const kept = localStorage.getItem(KEPT);
  if (kept === "light" || kept === "dark") return kept;
  return system.matches ? "dark" : "light";
}

/** Show the page in the theme. */
export function applyTheme() {
  document.documentElement.dataset.theme = theme();
}

/** @param {Theme} value */
export function chooseTheme(value) {
  localStorage.setItem(KEPT, value);
  applyTheme();
}

/**
 * Call something when the system changes its mind.
 *
 * @param {() => void} changed
 */
export function onSystemTheme(changed) {
  system.addEventListener("change", changed);
}

/**
 * Return a colour of the page as it is now.
 *
 * @param {string} name
 * @returns {string}
 */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
