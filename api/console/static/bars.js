// Bars: a table whose numbers can be seen as lengths, too.

import { h, table } from "./dom.js";

/**
 * One kind of amount.
 *
 * @template Row
 * @typedef {object} Measure
 * @property {string} name
 * @property {string} colour
 * @property {(row: Row) => number} of
 * @property {(value: number) => string} shown
 */

/**
 * Return a table with bars.
 *
 * @template Row
 * @param {object} what
 * @param {string} what.caption
 * @param {string} what.name What its rows are.
 * @param {(row: Row) => any} what.label
 * @param {Measure<Row>[]} what.measures
 * @param {import("./dom.js").Column<Row>[]} [what.more] Further columns.
 * @param {Row[]} what.rows
 * @returns {HTMLElement}
 */
export function bars({ caption, name, label, measures, more = [], rows }) {
  const longest = Math.max(
    1,
    ...rows.flatMap((row) => measures.map((each) => Math.abs(each.of(row)))),
  );
  return table(
    caption,
    [
      { name, head: true, cell: label },
      ...measures.map((measure) => ({
        name: measure.name,
        cell: (/** @type {Row} */ row) => bar(measure.of(row), longest, measure),
      })),
      ...more,
    ],
    rows,
    { unseenCaption: true, stacked: true },
  );
}

/**
 * @param {number} value
 * @param {number} longest
 * @param {Measure<any>} measure
 * @returns {HTMLElement}
 */
function bar(value, longest, measure) {
  const length = h("span", { class: `length ${measure.colour}${value < 0 ? " below" : ""}` });
  length.style.setProperty("--share", `${(Math.abs(value) / longest) * 100}%`);
  return h(
    "span",
    { class: "bar" },
    h("span", { class: "track", "aria-hidden": "true" }, length),
    h("span", { class: "amount" }, measure.shown(value)),
  );
}
