// Elements: how the console writes its page. Text is always text, never markup.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Return a new element.
 *
 * Properties that begin with "on" are listeners; null, undefined and false are left out.
 *
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") /** @type {any} */ (element).value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

/**
 * @param {(Child | Child[])[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return children
    .flat()
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Put children into an element in place of what it holds.
 *
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * Write a text into an element, unless it stands there already.
 *
 * @param {Element} element
 * @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Return the element of the page with an id.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function at(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * Tell those who listen rather than look.
 *
 * @param {string} text
 */
export function announce(text) {
  write(at("announcer"), text);
}

/**
 * One column of a table.
 *
 * @template Row
 * @typedef {object} Column
 * @property {string} name What stands above it.
 * @property {(row: Row) => Child | Child[]} cell What stands in it.
 * @property {boolean} [number] Whether it holds numbers, which stand at the right.
 * @property {boolean} [head] Whether it names its row.
 */

/**
 * Return a table with a caption, in a frame of its own that can be scrolled with the keyboard.
 *
 * @template Row
 * @param {string} caption
 * @param {Column<Row>[]} columns
 * @param {Row[]} rows
 * @param {{ unseenCaption?: boolean, stacked?: boolean }} [how] Stacked: rows become cards on a
 *   narrow screen.
 * @returns {HTMLElement}
 */
export function table(caption, columns, rows, how = {}) {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      { class: how.stacked ? "stacked" : null },
      h("caption", { class: how.unseenCaption ? "unseen" : null }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((column) =>
            h("th", { scope: "col", class: column.number ? "number" : null }, column.name),
          ),
        ),
      ),
      h("tbody", {}, rows.map((row) => tableRow(columns, row))),
    ),
  );
}

/**
 * @template Row
 * @param {Column<Row>[]} columns
 * @param {Row} row
 * @returns {HTMLElement}
 */
export function tableRow(columns, row) {
  return h(
    "tr",
    {},
    columns.map((column) => {
      const properties = { class: column.number ? "number" : null, "data-name": column.name };
      return column.head
        ? h("th", { scope: "row", ...properties }, column.cell(row))
        : h("td", properties, column.cell(row));
    }),
  );
}

/**
 * Return a list of terms and what they are.
 *
 * @param {[string, Child | Child[]][]} pairs
 * @returns {HTMLElement}
 */
export function definitions(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}
