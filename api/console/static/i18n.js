// Languages: English and simplified Chinese; what was chosen is remembered.

import { EN } from "./messages/en.js";
import { ZH } from "./messages/zh.js";

/** @typedef {"en" | "zh"} Language */

const KEPT = "carbonflow.language";
/** @type {Record<Language, Record<string, string>>} */
const MESSAGES = { en: EN, zh: ZH };
/** @type {Record<Language, string>} */
const LOCALES = { en: "en-GB", zh: "zh-CN" };

/** @type {Language} */
let chosen = remembered();

/** @returns {Language} */
function remembered() {
  const kept = localStorage.getItem(KEPT);
  if (kept === "en" || kept === "zh") return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** @returns {Language} */
export function language() {
  return chosen;
}

/** @returns {string} What Intl calls the language. */
export function locale() {
  return LOCALES[chosen];
}

/** @param {Language} value */
export function chooseLanguage(value) {
  chosen = value;
  localStorage.setItem(KEPT, value);
  applyLanguage();
}

/** Tell the page its language. */
export function applyLanguage() {
  document.documentElement.lang = chosen === "zh" ? "zh-Hans" : "en";
}

/**
 * Return a message in the chosen language.
 *
 * @param {string} key
 * @param {Record<string, string | number>} [values] What stands for each {name} in it.
 * @returns {string}
 */
export function t(key, values = {}) {
  const message = MESSAGES[chosen][key];
  if (message === undefined) throw new Error(`no message ${key}`);
  return message.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/**
 * Return whether there is a message.
 *
 * @param {string} key
 * @returns {boolean}
 */
export function has(key) {
  return key in MESSAGES[chosen];
}
