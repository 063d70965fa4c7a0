// Numbers, amounts and instants as people read them, by Intl and the chosen language.

import { locale, t } from "./i18n.js";

/** No-break space between a number and its unit. */
const GAP = "\u00a0";

/**
 * @param {number} value
 * @param {Intl.NumberFormatOptions} [how]
 * @returns {string}
 */
export function number(value, how = {}) {
  return new Intl.NumberFormat(locale(), how).format(value).replace(/^-/, "\u2212");
}

/**
 * Return a value in the largest unit that leaves a whole number before the point.
 *
 * @param {number} value
 * @param {[number, string][]} units How much each is, the smallest first.
 * @returns {string}
 */
function scaled(value, units) {
  let [size, unit] = units[0];
  for (const [each, name] of units) {
    if (Math.abs(value) >= each) [size, unit] = [each, name];
  }
  const shown = value / size;
  const digits = Math.abs(shown) >= 1000 ? 4 : 3;
  const figures = Number.isInteger(shown) && Math.abs(shown) < 1000
    ? {}
    : { minimumSignificantDigits: digits, maximumSignificantDigits: digits };
  return `${number(shown, figures)}${GAP}${unit}`;
}

/** @param {number} mg @returns {string} */
export function mass(mg) {
  return scaled(mg, [[1, "mg"], [1e3, "g"], [1e6, "kg"], [1e9, "t"], [1e12, "kt"], [1e15, "Mt"]]);
}

/** @param {number} mg @returns {string} */
export function milligrams(mg) {
  return `${number(mg)}${GAP}mg`;
}

/** @param {number} wh @returns {string} */
export function energy(wh) {
  return scaled(wh, [[1, "Wh"], [1e3, "kWh"], [1e6, "MWh"], [1e9, "GWh"], [1e12, "TWh"]]);
}

/** @param {number} m @returns {string} */
export function distance(m) {
  return scaled(m, [[1, "m"], [1e3, "km"]]);
}

/** @param {number} kgKm @returns {string} */
export function transport(kgKm) {
  return scaled(kgKm / 1e3, [[1e-3, "kg\u00a0km"], [1, "tkm"], [1e6, "Mtkm"], [1e9, "Gtkm"]]);
}

/** @param {number} ms @returns {string} */
export function duration(ms) {
  /** How long each is [ms], its name, and digits of it. @type {[number, string, number][]} */
  const units = [
    [1, "ms", 0],
    [1000, "s", ms < 10_000 ? 1 : 0],
    [60_000, "min", 0],
    [3_600_000, "h", 0],
    [86_400_000, "d", 0],
  ];
  const [size, name, digits] = units.findLast(([each]) => ms >= each) ?? units[0];
  const fraction = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return `${number(ms / size, fraction)}${GAP}${t(`unit.${name}`)}`;
}

/** @param {number} share @returns {string} */
export function percent(share) {
  return number(share, { style: "percent", maximumSignificantDigits: 2 });
}

/** @param {string | number | null} instant @returns {string} */
export function instant(instant) {
  if (instant === null) return "";
  return new Intl.DateTimeFormat(locale(), {
    dateStyle: "medium",
    timeStyle: "short",
    hourCycle: "h23",
  }).format(new Date(instant));
}

/** @param {string | number} instant @returns {string} */
export function date(instant) {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(new Date(instant));
}

/** @param {string | number} instant @returns {string} */
export function clock(instant) {
  return new Intl.DateTimeFormat(locale(), {
    timeStyle: "medium",
    hourCycle: "h23",
  }).format(new Date(instant));
}

/**
 * Return a year, a month or a day of UTC.
 *
 * @param {string} day YYYY-MM-DD.
 * @param {"year" | "month" | "day"} what
 * @returns {string}
 */
export function period(day, what) {
  return new Intl.DateTimeFormat(locale(), {
    year: "numeric",
    month: what === "year" ? undefined : "short",
    day: what === "day" ? "numeric" : undefined,
    timeZone: "UTC",
  }).format(new Date(`${day}T00:00:00Z`));
}

/**
 * Return how long ago an instant was, or in how long it will be.
 *
 * @param {string} instant
 * @param {number} [nowMs]
 * @returns {string}
 */
export function ago(instant, nowMs = Date.now()) {
  const seconds = (new Date(instant).getTime() - nowMs) / 1000;
  /** @type {[number, Intl.RelativeTimeFormatUnit][]} */
  const units = [[86_400, "day"], [3_600, "hour"], [60, "minute"], [1, "second"]];
  const [size, name] = units.find(([each]) => Math.abs(seconds) >= each) ?? [1, "second"];
  return new Intl.RelativeTimeFormat(locale(), { numeric: "auto", style: "short" }).format(
    Math.round(seconds / size),
    name,
  );
}
