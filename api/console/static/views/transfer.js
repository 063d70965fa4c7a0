// A transfer: why it has this amount, to the milligram.

import { ask } from "../api.js";
import { definitions, fill, h } from "../dom.js";
import * as format from "../format.js";
import { has, t } from "../i18n.js";
import * as names from "../names.js";
import { card, heading, showAnswer } from "../parts.js";

/** @typedef {{ transfer_id: string, account_id: string, amount_mg: number, signed_mg: number, kind: string, quantity: string, activity: string, source: string, activity_id: string, revision: number, programme: string, programme_digest: string, region: string, vehicle_class: string, method: string, energy_wh: number, distance_m: number, transport_kg_km: number, factor_match: string, booked_at: string, recorded_at: string, source_topic: string, source_partition: number, source_offset: number }} Transfer */
/** @typedef {{ what: string, value: string, unit: string }} Term */
/** @typedef {{ what: string, terms: Term[], divisor: number, amount_mg: number }} Step */
/** @typedef {{ factor_id: string, release: string, kind: string, region: string, subject: string, boundary: string, gas: string, value_mg: number, unit: string, valid_from: string | null, valid_to: string | null, publisher: string, publication: string, url: string, licence: string, evidence: string, uncertainty_permille: number | null }} Factor */

/**
 * @param {HTMLElement} place
 * @param {import("../main.js").Where} what
 * @param {AbortSignal} signal
 */
export function transfer(place, what, signal) {
  const [crumbs, head, shown] = [h("p", { class: "crumbs" }), h("div"), h("div")];
  place.append(crumbs, head, shown);
  fill(crumbs, h("a", { href: "#/accounts" }, t("view.accounts")));
  fill(head, heading(t("transfer.untold")));
  return showAnswer(
    shown,
    () => ask(`transfers/${encodeURIComponent(what.id)}/explanation`, {}, signal),
    (answer) => {
      const { transfer: found } = answer;
      const account = `#/accounts/${encodeURIComponent(found.account_id)}`;
      crumbs.append(h("a", { href: account }, found.account_id));
      fill(head, heading(t("transfer.title", { amount: format.milligrams(found.signed_mg) }), sentence(found)));
      return explanation(answer);
    },
    signal,
  );
}

/** @param {any} answer @returns {HTMLElement} */
function explanation({ transfer, activity, factors, lines, steps, recomputed_mg, agrees }) {
  return h(
    "div",
    { class: "stack" },
    h(
      "section",
      { class: "card" },
      h("div", { class: "card-head" }, h("h2", {}, t("transfer.formula")), verdict(recomputed_mg, agrees)),
      steps.length
        ? [h("ol", { class: "formula" }, steps.map(formulaLine)), h("p", { class: "hint" }, t("transfer.rounding"))]
        : h("p", {}, t("transfer.notRecomputed")),
    ),
    h(
      "div",
      { class: "pair" },
      card(t(factors.length > 1 ? "transfer.factors" : "transfer.factor"), factors.length ? factors.slice(0, 6).map((/** @type {Factor} */ each) => factorFacts(each, transfer)) : h("p", {}, t("transfer.noFactor")), factors.length > 6 ? h("p", { class: "hint" }, t("transfer.moreFactors", { n: factors.length - 6 })) : null),
      card(t("transfer.reported"), reported(transfer, activity)),
    ),
    card(t("transfer.trace"), trace(transfer), h("details", {}, h("summary", {}, t("transfer.lines")), h("pre", { class: "raw", tabindex: 0, lang: "en" }, lines.join("\n")))),
  );
}

/** @param {Transfer} transfer @returns {string} */
function sentence(transfer) {
  return t(`transfer.sentence.${transfer.quantity}`, {
    activity: t(`activity.${transfer.activity}`).toLocaleLowerCase(),
    vehicle: names.vehicle(transfer.vehicle_class),
    region: names.region(transfer.region),
    at: format.instant(transfer.booked_at),
    programme: names.programme(transfer.programme),
  });
}

/**
 * @param {number | null} recomputed
 * @param {boolean | null} agrees
 * @returns {HTMLElement}
 */
function verdict(recomputed, agrees) {
  const state = recomputed === null ? "unknown" : agrees ? "agrees" : "differs";
  return h("span", { class: `pill pill-${state}` }, t(`transfer.${state}`));
}

/** @param {Step} step @returns {HTMLElement} */
function formulaLine(step) {
  const isLast = step.what === "reduction";
  /** @type {any[]} */
  const parts = [];
  step.terms.forEach((each, place) => {
    const sign = place === 0 ? "=" : isLast && place === 1 ? "\u2212" : "\u00d7";
    parts.push(
      signed(
        operator(sign),
        isLast && place === 0 ? operator("(") : null,
        term(each),
        isLast && place === 1 ? operator(")") : null,
      ),
    );
  });
  if (step.divisor !== 1) {
    parts.push(signed(operator("\u00f7"), term({ what: "", value: String(step.divisor), unit: "" })));
  }
  return h(
    "li",
    {},
    h("span", { class: "gives" }, t(`step.${step.what}`)),
    h("span", { class: "terms" }, parts),
    h(
      "span",
      { class: `result ${step.what}` },
      operator("= "),
      format.milligrams(step.amount_mg),
      h("span", { class: "sub" }, format.mass(step.amount_mg)),
    ),
  );
}

/** @param {...any} parts @returns {HTMLElement} */
function signed(...parts) {
  return h("span", { class: "signed" }, parts);
}

/** @param {string} sign @returns {HTMLElement} */
function operator(sign) {
  return h("span", { class: "operator" }, sign);
}

/** @param {Term} term @returns {HTMLElement} */
function term({ what, value, unit }) {
  const whole = /^-?\d+$/.test(value) ? format.number(Number(value)) : value;
  return h(
    "span",
    { class: "term" },
    h("span", { class: "term-value" }, unit ? `${whole}\u00a0${unit}` : whole),
    what ? h("span", { class: "term-name" }, t(`term.${what}`)) : null,
  );
}

/**
 * @param {Factor} factor
 * @param {Transfer} [transfer] What it was matched to.
 * @returns {HTMLElement}
 */
export function factorFacts(factor, transfer) {
  return definitions([
    [t("factor.value"), [h("b", {}, factorValue(factor)), ` = ${format.milligrams(factor.value_mg)}/${unitOf(factor)}`]],
    [t("factor.boundary"), t(`boundary.${factor.boundary}`)],
    [t("factor.subject"), names.subject(factor.subject)],
    [t("factor.region"), [names.region(factor.region), " ", h("span", { class: "code" }, factor.region)]],
    [t("factor.valid"), validity(factor)],
    [t("factor.match"), transfer ? matched(transfer.factor_match) : ""],
    [t("factor.source"), [`${factor.publisher}: ${factor.publication} `, isLink(factor.url) ? h("a", { href: factor.url, rel: "noreferrer noopener", target: "_blank" }, t("factor.link"), h("span", { class: "unseen" }, ` ${t("factor.newTab")}`)) : factor.url]],
    [t("factor.licence"), factor.licence],
    [t("factor.evidence"), has(`evidence.${factor.evidence}`) ? `${factor.evidence}: ${t(`evidence.${factor.evidence}`)}` : factor.evidence],
    [t("factor.uncertainty"), factor.uncertainty_permille === null ? "" : `±${format.percent(factor.uncertainty_permille / 1000)}`],
    [t("factor.id"), h("span", { class: "code" }, `${factor.release} / ${factor.factor_id}`)],
  ]);
}

/** @param {Factor} factor @returns {string} */
export function factorValue(factor) {
  const gas = factor.gas === "co2" ? "CO₂" : "CO₂e";
  const kg = format.number(factor.value_mg / 1e6, { maximumFractionDigits: 6 });
  return `${kg}\u00a0kg\u00a0${gas}/${unitOf(factor)}`;
}

/** @param {Factor} factor @returns {string} */
function unitOf(factor) {
  return { kwh: "kWh", l: "l", kg: "kg", tkm: "tkm" }[factor.unit] ?? factor.unit;
}

/** @param {Factor} factor @returns {string} */
export function validity(factor) {
  if (!factor.valid_from && !factor.valid_to) return t("factor.always");
  const from = factor.valid_from ? format.date(factor.valid_from) : "";
  // The end is exclusive: the last day that it holds is the one before.
  const to = factor.valid_to ? format.date(Date.parse(factor.valid_to) - 1) : "";
  return `${from} \u2013 ${to}`;
}

/** @param {string} url @returns {boolean} */
function isLink(url) {
  return /^https?:\/\//.test(url);
}

/** @param {string} match @returns {string} */
function matched(match) {
  return match.split("+").map((each) => (has(`match.${each}`) ? t(`match.${each}`) : each)).join(", ");
}

/**
 * @param {Transfer} transfer
 * @param {any} activity
 * @returns {HTMLElement}
 */
function reported(transfer, activity) {
  if (transfer.activity === "charging") {
    return definitions([
      [t("activity.energy"), `${format.energy(activity.energy_wh)} (${format.number(activity.energy_wh)}\u00a0Wh)`],
      [t("activity.when"), `${format.instant(activity.started_at)} \u2013 ${format.instant(activity.ended_at)}`],
      [t("factor.region"), names.region(activity.grid_region)],
      [t("carbon.class"), names.vehicle(activity.vehicle_class)],
      [t("activity.current"), `${activity.current.toUpperCase()} · ${t(`meter.${activity.meter_side}`)}`],
      [t("activity.evse"), activity.evse_id],
      [t("activity.operator"), activity.operator_id],
      [t("activity.id"), h("span", { class: "code" }, `${activity.source} / ${activity.session_id}`)],
    ]);
  }
  return definitions([
    [t("activity.distance"), `${format.distance(activity.distance_m)} (${t(`basis.${activity.distance_basis}`)})`],
    [t("activity.empty"), activity.empty_distance_m ? format.distance(activity.empty_distance_m) : ""],
    [t("activity.cargo"), `${format.number(activity.cargo_kg)}\u00a0kg`],
    [t("activity.carrier"), names.subject(activity.energy_carrier)],
    [t("activity.used"), activity.energy_used === null ? "" : format.number(activity.energy_used)],
    [t("activity.grade"), t(`grade.${activity.data_grade}`)],
    [t("activity.when"), `${format.instant(activity.departed_at)} \u2013 ${format.instant(activity.arrived_at)}`],
    [t("activity.route"), `${names.region(activity.origin_region)} → ${names.region(activity.destination_region)}`],
    [t("carbon.class"), names.vehicle(activity.vehicle_class)],
    [t("activity.id"), h("span", { class: "code" }, `${activity.source} / ${activity.trip_id}`)],
  ]);
}

/** @param {Transfer} transfer @returns {HTMLElement} */
function trace(transfer) {
  return definitions([
    [t("trace.transfer"), h("span", { class: "code" }, transfer.transfer_id)],
    [t("trace.record"), h("span", { class: "code" }, `${transfer.source_topic} / ${transfer.source_partition} / ${transfer.source_offset}`)],
    [t("trace.recorded"), format.instant(transfer.recorded_at)],
    [t("trace.method"), h("span", { class: "code" }, transfer.method)],
    [t("carbon.programme"), names.programme(transfer.programme)],
    [t("trace.parameters"), h("span", { class: "code" }, transfer.programme_digest)],
  ]);
}
