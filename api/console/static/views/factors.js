// Factors: what amounts are computed with, searched in English or Chinese.

import { ask } from "../api.js";
import { announce, fill, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import * as names from "../names.js";
import { heading, nothing, showAnswer } from "../parts.js";
import { searchField } from "./accounts.js";
import { factorFacts, factorValue, validity } from "./transfer.js";

/** @typedef {import("./transfer.js").Factor} Factor */

const PAGE = 40;

/**
 * @param {HTMLElement} place
 * @param {import("../main.js").Where} what
 * @param {AbortSignal} signal
 */
export function factors(place, what, signal) {
  const found = h("div");
  const state = { text: what.query.get("text") ?? "", kind: "" };
  let asked = new AbortController();
  const search = () => {
    asked.abort();
    asked = new AbortController();
    const either = AbortSignal.any([signal, asked.signal]);
    const page = (/** @type {string | null} */ cursor) => ask("console/factors", { ...state, cursor, limit: PAGE }, either);
    return showAnswer(found, () => page(null), (first) => list(first, page, either), either);
  };
  const kind = h(
    "select",
    {
      id: "kind",
      onchange: (/** @type {any} */ event) => {
        state.kind = event.target.value;
        search();
      },
    },
    h("option", { value: "" }, t("factors.allKinds")),
    names.kinds().map((each) => h("option", { value: each }, names.kind(each))),
  );
  const field = searchField("factor-search", t("factors.search"), t("factors.placeholder"), state.text, (text) => {
    state.text = text;
    search();
  }, signal);
  place.append(
    heading(t("view.factors"), t("factors.lead")),
    h("search", { class: "filters" }, field, h("div", { class: "field narrow" }, h("label", { for: "kind" }, t("factors.kind")), kind)),
    found,
  );
  return search();
}

/**
 * @param {{ factors: Factor[], next_cursor: string | null }} first
 * @param {(cursor: string | null) => Promise<any>} page
 * @param {AbortSignal} signal
 * @returns {HTMLElement}
 */
function list(first, page, signal) {
  if (!first.factors.length) return nothing(t("factors.none"), t("factors.none.hint"));
  const items = h("ul", { class: "factor-list" });
  const add = (/** @type {Factor[]} */ some) => items.append(...some.map(item));
  add(first.factors);
  const more = h("div");
  const offer = (/** @type {string | null} */ cursor) =>
    fill(more, cursor
      ? h("button", { type: "button", class: "button", onclick: () =>
          showAnswer(more, () => page(cursor), (next) => {
            add(next.factors);
            offer(next.next_cursor);
            return [...more.childNodes];
          }, signal) }, t("factors.more"))
      : null);
  offer(first.next_cursor);
  announce(t(first.next_cursor ? "factors.foundMore" : "factors.found", { n: format.number(first.factors.length) }));
  return h("div", { class: "stack" }, items, more);
}

/** @param {Factor} factor @returns {HTMLElement} */
function item(factor) {
  return h(
    "li",
    {},
    h(
      "details",
      { class: "factor" },
      h(
        "summary",
        {},
        h("span", { class: "factor-name" }, `${names.region(factor.region)} · ${names.subject(factor.subject)}`, h("span", { class: "sub" }, `${names.kind(factor.kind)} · ${validity(factor)}`)),
        h(
          "span",
          { class: "factor-value" },
          `${factorValue(factor)} · ${t(`boundary.${factor.boundary}`)}`,
          h("span", { class: "sub" }, `${factor.publisher} · ${factor.licence}`),
        ),
      ),
      factorFacts(factor),
    ),
  );
}
