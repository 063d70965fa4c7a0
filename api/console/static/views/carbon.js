// Carbon: what was emitted and saved, by region and vehicle class, and over time.

import { ask } from "../api.js";
import { bars } from "../bars.js";
import { Chart } from "../charts.js";
import { fill, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import * as names from "../names.js";
import { card, choice, heading, nothing, showAnswer, tile, tiles } from "../parts.js";

/** @typedef {{ programme: string, name: string, emissions_mg: number, reduction_mg: number, activities: number, energy_wh: number, transport_kg_km: number }} Part */
/** @typedef {"year" | "month" | "day"} Period */
/** @typedef {{ asked_at_ms: number, programmes: { programme: string, title: string }[], regions: Part[], classes: Part[], months: Part[], days: Part[] }} Carbon */

const REGIONS_SHOWN = 12;
/** Months are too few to see anything where everything happened in them. */
const MONTHS_MIN = 3;
/** Room that a month needs [px]. */
const MONTH_PX = 14;

/**
 * @param {HTMLElement} place
 * @param {import("../main.js").Where} what
 * @param {AbortSignal} signal
 */
export function carbon(place, what, signal) {
  const shown = h("div", { class: "stack" });
  place.append(heading(t("view.carbon"), t("carbon.lead")), shown);
  return showAnswer(
    shown,
    () => ask("console/carbon", {}, signal),
    (answer) => (answer.programmes.length ? whole(answer, what, signal) : nothing(t("carbon.none"), t("pipeline.empty.hint"))),
    signal,
  );
}

/**
 * @param {Carbon} answer
 * @param {import("../main.js").Where} what
 * @param {AbortSignal} signal
 * @returns {HTMLElement}
 */
function whole(answer, what, signal) {
  const state = {
    programme: what.query.get("programme") ?? "",
    period: firstPeriod(answer.months),
    allRegions: false,
  };
  const chart = new Chart({
    label: t("carbon.time"),
    kind: "bars",
    value: format.mass,
    x: (at) => format.period(new Date(at * 1000).toISOString().slice(0, 10), state.period),
    height: 260,
  });
  signal.addEventListener("abort", () => chart.end());
  const [sums, regions, classes] = [h("div"), h("div"), h("div")];
  const show = () => {
    const of = (/** @type {Part[]} */ parts) => added(parts, state.programme);
    const all = of(answer.classes);
    fill(sums, totals(all));
    chart.show(overTime(of(periods(answer, state.period))));
    fill(regions, regionBars(of(answer.regions), state, show));
    fill(classes, partBars(t("carbon.classes"), t("carbon.class"), all, names.vehicle));
  };
  const select = h(
    "select",
    {
      id: "programme",
      onchange: (/** @type {any} */ event) => {
        state.programme = event.target.value;
        show();
      },
    },
    h("option", { value: "" }, t("carbon.allProgrammes")),
    answer.programmes.map(({ programme }) => h("option", { value: programme, selected: programme === state.programme }, names.programme(programme))),
  );
  const period = choice(t("carbon.period"), [["year", t("carbon.years")], ["month", t("carbon.months")], ["day", t("carbon.days")]], state.period, (value) => {
    state.period = /** @type {Period} */ (value);
    show();
  });
  requestAnimationFrame(show);
  return h(
    "div",
    { class: "stack" },
    h("div", { class: "filters" }, h("label", { for: "programme" }, t("carbon.programme")), select, h("span", { class: "hint" }, t("carbon.asked", { at: format.clock(answer.asked_at_ms) }))),
    sums,
    h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", {}, t("carbon.time")), period), chart.element),
    h("div", { class: "pair wide-left" }, card(t("carbon.regions"), regions), card(t("carbon.classes"), classes)),
  );
}

/** @param {Part[]} months @returns {Period} The finest that shows more than a few and not too many. */
function firstPeriod(months) {
  const count = new Set(months.map((part) => part.name)).size;
  if (count < MONTHS_MIN) return "day";
  return count * MONTH_PX > document.documentElement.clientWidth ? "year" : "month";
}

/**
 * @param {Carbon} answer
 * @param {Period} period
 * @returns {Part[]}
 */
function periods(answer, period) {
  if (period === "day") return answer.days;
  if (period === "month") return answer.months;
  return answer.months.map((part) => ({ ...part, name: `${part.name.slice(0, 4)}-01-01` }));
}

/**
 * Return parts of one name added up, over all programmes or of one.
 *
 * @param {Part[]} parts
 * @param {string} programme "" for all.
 * @returns {Part[]}
 */
function added(parts, programme) {
  /** @type {Map<string, Part>} */
  const sums = new Map();
  for (const part of parts) {
    if (programme && part.programme !== programme) continue;
    const sum = sums.get(part.name);
    if (!sum) sums.set(part.name, { ...part });
    else {
      sum.emissions_mg += part.emissions_mg;
      sum.reduction_mg += part.reduction_mg;
      sum.activities += part.activities;
      sum.energy_wh += part.energy_wh;
      sum.transport_kg_km += part.transport_kg_km;
    }
  }
  return [...sums.values()];
}

/** @param {Part[]} parts @returns {HTMLElement} */
function totals(parts) {
  const total = (/** @type {(part: Part) => number} */ of) => parts.reduce((all, part) => all + of(part), 0);
  const [energy, transport] = [total((part) => part.energy_wh), total((part) => part.transport_kg_km)];
  return tiles(
    tile(t("carbon.saved"), format.mass(total((part) => part.reduction_mg)), t("carbon.saved.note"), "saved"),
    tile(t("carbon.emitted"), format.mass(total((part) => part.emissions_mg)), t("carbon.emitted.note"), "emitted"),
    tile(t("carbon.activities"), format.number(total((part) => part.activities)), t("carbon.activities.note")),
    energy ? tile(t("carbon.energy"), format.energy(energy), t("carbon.energy.note")) : null,
    transport ? tile(t("carbon.transport"), format.transport(transport), t("carbon.transport.note")) : null,
  );
}

/** @param {Part[]} parts @returns {import("../charts.js").Data} */
function overTime(parts) {
  const sorted = [...parts].sort((one, other) => one.name.localeCompare(other.name));
  return {
    x: sorted.map((part) => Date.parse(`${part.name}T00:00:00Z`) / 1000),
    series: [
      { name: t("carbon.saved"), colour: "saved", values: sorted.map((part) => part.reduction_mg) },
      { name: t("carbon.emitted"), colour: "emitted", values: sorted.map((part) => part.emissions_mg) },
    ],
  };
}

/**
 * @param {Part[]} parts
 * @param {{ allRegions: boolean }} state
 * @param {() => void} show
 * @returns {any[]}
 */
function regionBars(parts, state, show) {
  const sorted = bySize(parts);
  const seen = state.allRegions ? sorted : sorted.slice(0, REGIONS_SHOWN);
  const more = sorted.length - seen.length;
  return [
    partBars(t("carbon.regions"), t("carbon.region"), seen, (code) => [names.region(code), " ", h("span", { class: "code" }, code)]),
    more
      ? h("button", { type: "button", class: "button", onclick: () => { state.allRegions = true; show(); } }, t("carbon.moreRegions", { n: more }))
      : null,
  ];
}

/**
 * @param {string} caption
 * @param {string} name
 * @param {Part[]} parts
 * @param {(code: string) => any} label
 * @returns {HTMLElement}
 */
function partBars(caption, name, parts, label) {
  return bars({
    caption,
    name,
    label: (/** @type {Part} */ part) => label(part.name),
    measures: [
      { name: t("carbon.saved"), colour: "saved", of: (part) => part.reduction_mg, shown: format.mass },
      { name: t("carbon.emitted"), colour: "emitted", of: (part) => part.emissions_mg, shown: format.mass },
    ],
    more: [{ name: t("carbon.activities"), number: true, cell: (part) => format.number(part.activities) }],
    rows: bySize(parts),
  });
}

/** @param {Part[]} parts @returns {Part[]} */
function bySize(parts) {
  return [...parts].sort((one, other) => other.emissions_mg + Math.abs(other.reduction_mg) - one.emissions_mg - Math.abs(one.reduction_mg));
}
