// Names of regions, energy carriers, vehicle classes and programmes, in the chosen language.

import { language } from "./i18n.js";

/** @type {Record<string, Record<string, [string, string]>>} */
let names = { regions: {}, subjects: {}, kinds: {}, programmes: {} };

/** Read them, once. */
export async function readNames() {
  const response = await fetch(new URL("./names.json", import.meta.url));
  names = await response.json();
}

/**
 * @param {string} part
 * @param {string} code
 * @returns {string} The name, or the code where there is none.
 */
function named(part, code) {
  return names[part][code]?.[language() === "zh" ? 1 : 0] ?? code;
}

/** @param {string} code @returns {string} */
export function region(code) {
  return named("regions", code);
}

/** @param {string} code @returns {string} */
export function kind(code) {
  return named("kinds", code);
}

/** @param {string} code @returns {string} */
export function vehicle(code) {
  return named("subjects", code);
}

/** @param {string} code @returns {string} */
export function programme(code) {
  return named("programmes", code);
}

/** @returns {string[]} All kinds of factors. */
export function kinds() {
  return Object.keys(names.kinds);
}

/**
 * Return what a factor is for: an energy carrier, or a vehicle class and its carrier.
 *
 * @param {string} code
 * @returns {string}
 */
export function subject(code) {
  return code.split(".").map((part) => named("subjects", part)).join(language() === "zh" ? " · " : ", ");
}
