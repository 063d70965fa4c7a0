// Accounts: search, and one account's balance and statement.

import { ask } from "../api.js";
import { Chart } from "../charts.js";
import { announce, fill, h, table, tableRow } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import * as names from "../names.js";
import { card, heading, nothing, showAnswer, tile, tiles, wrong } from "../parts.js";

/** @typedef {import("./transfer.js").Transfer} Transfer */
/** @typedef {{ key: string, first: Transfer, emission: Transfer | null, reduction: Transfer | null }} Row */

const SEARCH_WAIT_MS = 250;
/** Transfers that are asked for at a time. */
const PAGE = 200;
/** Rows that are shown at first, and with each "more". */
const ROWS = 25;
/** The chart is drawn of so many transfers at first. */
const CHART_TRANSFERS = 1000;

/**
 * @param {HTMLElement} place
 * @param {import("../main.js").Where} what
 * @param {AbortSignal} signal
 */
export function accounts(place, what, signal) {
  const found = h("div", { class: "card" });
  let asked = new AbortController();
  const search = (/** @type {string} */ text) => {
    asked.abort();
    asked = new AbortController();
    const either = AbortSignal.any([signal, asked.signal]);
    return showAnswer(
      found,
      () => ask("console/accounts", { text, limit: 50 }, either),
      (answer) => list(answer.accounts, text),
      either,
    );
  };
  const first = what.query.get("text") ?? "";
  place.append(
    heading(t("view.accounts"), t("accounts.lead")),
    h("search", {}, searchField("account-search", t("accounts.search"), t("accounts.placeholder"), first, search, signal)),
    found,
  );
  return search(first);
}

/**
 * Return a field that searches as one types; what is searched for stands in the address, too.
 *
 * @param {string} id
 * @param {string} label
 * @param {string} placeholder
 * @param {string} value
 * @param {(text: string) => void} search
 * @param {AbortSignal} signal
 * @returns {HTMLElement}
 */
export function searchField(id, label, placeholder, value, search, signal) {
  let timer = 0;
  const field = h("input", {
    id,
    type: "search",
    placeholder,
    value,
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 200,
    oninput: (/** @type {any} */ event) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const [path] = location.hash.split("?");
        const text = event.target.value.trim();
        history.replaceState(null, "", text ? `${path}?text=${encodeURIComponent(text)}` : path);
        search(text);
      }, SEARCH_WAIT_MS);
    },
  });
  signal.addEventListener("abort", () => clearTimeout(timer));
  return h("div", { class: "field" }, h("label", { for: id }, label), field);
}

/**
 * @param {any[]} found
 * @param {string} text
 * @returns {HTMLElement}
 */
function list(found, text) {
  if (!found.length) return nothing(text ? t("accounts.noneFound", { text }) : t("accounts.none"), text ? t("accounts.noneFound.hint") : t("pipeline.empty.hint"));
  if (text) announce(t("accounts.found", { n: found.length }));
  return table(
    text ? t("accounts.found", { n: found.length }) : t("pipeline.recent"),
    [
      { name: t("accounts.account"), head: true, cell: (each) => h("a", { href: `#/accounts/${encodeURIComponent(each.account_id)}` }, each.account_id) },
      { name: t("carbon.programme"), cell: (each) => names.programme(each.programme) },
      { name: t("carbon.saved"), number: true, cell: (each) => format.mass(each.reduction_mg) },
      { name: t("carbon.emitted"), number: true, cell: (each) => format.mass(each.emissions_mg) },
      { name: t("carbon.activities"), number: true, cell: (each) => format.number(each.session_count + each.trip_count) },
      { name: t("accounts.updated"), number: true, cell: (each) => format.ago(each.updated_at) },
    ],
    found,
    { stacked: true },
  );
}

/**
 * @param {HTMLElement} place
 * @param {import("../main.js").Where} what
 * @param {AbortSignal} signal
 */
export function account(place, what, signal) {
  const path = `accounts/${encodeURIComponent(what.id)}`;
  const [balance, statement] = [h("div"), h("div")];
  place.append(
    h("p", { class: "crumbs" }, h("a", { href: "#/accounts" }, t("view.accounts"))),
    heading(what.id),
    balance,
    statement,
  );
  showAnswer(balance, () => ask(`${path}/balance`, {}, signal), figures, signal);
  showAnswer(
    statement,
    () => ask(`${path}/statement`, { limit: PAGE }, signal),
    (page) => statementOf(path, page, signal),
    signal,
  );
}

/** @param {any} balance @returns {HTMLElement} */
function figures(balance) {
  return tiles(
    tile(t("accounts.net"), format.mass(balance.reduction_mg), format.milligrams(balance.reduction_mg), "saved"),
    tile(t("carbon.emitted"), format.mass(balance.emissions_mg), format.milligrams(balance.emissions_mg), "emitted"),
    balance.session_count ? tile(t("accounts.sessions"), format.number(balance.session_count), format.energy(balance.energy_wh)) : null,
    balance.trip_count ? tile(t("accounts.trips"), format.number(balance.trip_count), `${format.distance(balance.distance_m)} · ${format.transport(balance.transport_kg_km)}`) : null,
    tile(t("carbon.programme"), names.programme(balance.programme), t("accounts.updatedAt", { at: format.instant(balance.updated_at) }), "text"),
  );
}

/**
 * Return the chart and the table of a statement. Its first pages are asked for at once, for the
 * chart; the table shows them by and by.
 *
 * @param {string} path
 * @param {{ transfers: Transfer[], next_cursor: string | null }} page
 * @param {AbortSignal} signal
 * @returns {HTMLElement}
 */
function statementOf(path, page, signal) {
  const all = [...page.transfers];
  let [cursor, shown] = [page.next_cursor, ROWS];
  const chart = new Chart({ label: t("accounts.overTime"), kind: "lines", value: format.mass, x: (at) => format.date(at * 1000), height: 200 });
  signal.addEventListener("abort", () => chart.end());
  const listed = table("", columns(), [], { stacked: true });
  listed.setAttribute("aria-label", t("accounts.statement"));
  const [body, caption] = ["tbody", "caption"].map((name) => /** @type {Element} */ (listed.querySelector(name)));
  const [trouble, more, known] = [h("div"), h("div"), h("p", { class: "hint" })];
  const show = () => {
    const rows = rowsOf(all);
    fill(body, rows.slice(0, shown).map((row) => tableRow(columns(), row)));
    const seen = format.number(Math.min(shown, rows.length));
    const whole = shown >= rows.length && !cursor;
    fill(caption, t(whole ? "accounts.statement.all" : "accounts.statement.first", { n: seen }));
    fill(known, cursor ? t("accounts.overTime.first", { n: format.number(rows.length) }) : "");
    fill(more, whole ? null : h("button", { type: "button", class: "button", onclick: further }, t("accounts.more")));
    chart.show(cumulative(rows));
  };
  const fetchPage = async () => {
    const next = await ask(`${path}/statement`, { limit: PAGE, cursor }, signal);
    all.push(...next.transfers);
    cursor = next.next_cursor;
  };
  const tried = async (/** @type {() => Promise<void>} */ work) => {
    try {
      await work();
      fill(trouble);
      show();
    } catch (error) {
      if (!signal.aborted) fill(trouble, wrong(error, () => tried(work)));
    }
  };
  const further = () =>
    tried(async () => {
      if (rowsOf(all).length < shown + ROWS && cursor) await fetchPage();
      shown += ROWS;
    });
  requestAnimationFrame(() =>
    tried(async () => {
      show();
      while (cursor && all.length < CHART_TRANSFERS) {
        await fetchPage();
        show();
      }
    }),
  );
  return h(
    "div",
    { class: "stack" },
    card(t("accounts.overTime"), known, chart.element),
    card(t("accounts.statement"), h("p", { class: "hint" }, t("accounts.statement.hint")), listed, more, trouble),
  );
}

/**
 * Return a row for each activity, whose emission and reduction stand side by side.
 *
 * @param {Transfer[]} transfers
 * @returns {Row[]}
 */
function rowsOf(transfers) {
  /** @type {Map<string, Row>} */
  const rows = new Map();
  for (const each of transfers) {
    const key = [each.activity, each.source, each.activity_id, each.revision, each.kind].join("\n");
    const row = rows.get(key) ?? { key, first: each, emission: null, reduction: null };
    if (each.quantity === "emission") row.emission = each;
    else row.reduction = each;
    rows.set(key, row);
  }
  return [...rows.values()];
}

/** @returns {import("../dom.js").Column<Row>[]} */
function columns() {
  return [
    { name: t("accounts.booked"), head: true, cell: ({ first }) => h("time", { datetime: first.booked_at }, format.instant(first.booked_at)) },
    { name: t("accounts.activity"), cell: ({ first }) => [t(`activity.${first.activity}`), h("span", { class: "sub" }, `${names.vehicle(first.vehicle_class)} · ${names.region(first.region)}`)] },
    { name: t("accounts.quantity"), number: true, cell: ({ first }) => (first.activity === "charging" ? format.energy(first.energy_wh) : format.transport(first.transport_kg_km)) },
    { name: t("carbon.emitted"), number: true, cell: ({ emission }) => why(emission) },
    { name: t("carbon.saved"), number: true, cell: ({ reduction }) => why(reduction) },
  ];
}

/** @param {Transfer | null} transfer @returns {any} */
function why(transfer) {
  if (!transfer) return "\u2013";
  const amount = format.mass(transfer.signed_mg);
  const label = t(`accounts.why.${transfer.quantity}`, { amount });
  return h("a", { class: "why", href: `#/transfers/${encodeURIComponent(transfer.transfer_id)}`, "aria-label": label, title: label }, amount);
}

/** @param {Row[]} rows @returns {import("../charts.js").Data} */
function cumulative(rows) {
  let [saved, emitted] = [0, 0];
  /** @type {[number, number, number][]} */
  const points = [];
  for (const row of rows) {
    saved += row.reduction?.signed_mg ?? 0;
    emitted += row.emission?.signed_mg ?? 0;
    const at = Date.parse(row.first.booked_at) / 1000;
    // Where two end at once, the later stands for both.
    if (points.at(-1)?.[0] === at) points.pop();
    points.push([at, saved, emitted]);
  }
  return {
    x: points.map(([at]) => at),
    series: [
      { name: t("carbon.saved"), colour: "saved", values: points.map(([, value]) => value) },
      { name: t("carbon.emitted"), colour: "emitted", values: points.map(([, , value]) => value) },
    ],
  };
}
