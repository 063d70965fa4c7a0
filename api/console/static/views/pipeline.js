// The pipeline, live: is it working, how fast, how fresh, and what it refuses.

import { ask, follow } from "../api.js";
import { Chart } from "../charts.js";
import { announce, fill, h, table, write } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import * as names from "../names.js";
import { card, nothing, showAnswer, tile, tiles, waiting } from "../parts.js";
import { maySee } from "../session.js";

/** @typedef {{ programme: string, accounts: number, activities: number, duplicates: number, emissions_mg: number, reduction_mg: number, newest_at: string }} Sum */
/** @typedef {{ at_ms: number, source: string, sums: Sum[] | null, freshness: { p50_ms: number, p99_ms: number } | null, behind_ms: number | null, lag_offsets: number | null, received: number | null, refused: Record<string, number> | null, is_store_away: boolean }} Beat */

const KEPT = 300;
/** Rates are those of so many last seconds. */
const RATE_S = 5;
/** Somebody has to look from this on. */
const BEHIND_MS = 10_000;

/**
 * @param {HTMLElement} place
 * @param {unknown} _
 * @param {AbortSignal} signal
 */
export function pipeline(place, _, signal) {
  const live = new Live(signal);
  place.append(live.element);
  follow("console/pulse", { event: (beats) => live.take(beats), broken: (problem) => live.broken(problem) }, signal);
  signal.addEventListener("abort", () => live.end());
}

/** What the view shows, and keeps showing. */
class Live {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    /** @type {Beat[]} */
    this.beats = [];
    this.state = "";
    this.pill = h("span", { class: "pill" });
    this.summary = h("p", { class: "lead" });
    this.figures = h("div", {}, waiting());
    this.programmes = h("div", {}, waiting());
    const x = (/** @type {number} */ at) => format.clock(at * 1000);
    const rate = (/** @type {number} */ value) => format.number(value, { maximumFractionDigits: value < 10 ? 1 : 0 });
    this.rates = new Chart({ label: t("pipeline.rates"), kind: "lines", x, value: rate, highest: 10 });
    this.freshness = new Chart({ label: t("pipeline.freshness.chart"), kind: "lines", x, value: format.duration, highest: 100 });
    this.recent = h("div");
    this.showRecent = () =>
      showAnswer(this.recent, () => ask("console/accounts", { limit: 8 }, signal), ({ accounts }) => recent(accounts), signal);
    this.refreshed = h("button", { type: "button", class: "button", onclick: this.showRecent }, t("pipeline.refresh"));
    this.element = h(
      "div",
      { class: "stack" },
      h("div", { class: "heading" }, h("div", {}, h("h1", {}, t("view.pipeline"), this.pill), this.summary)),
      this.figures,
      h(
        "div",
        { class: "pair" },
        card(t("pipeline.rates"), h("p", { class: "hint" }, t("pipeline.rates.hint")), this.rates.element),
        card(t("pipeline.freshness.chart"), h("p", { class: "hint" }, t("pipeline.freshness.hint")), this.freshness.element),
      ),
      h(
        "div",
        { class: "pair" },
        card(t("pipeline.programmes"), this.programmes),
        h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", {}, t("pipeline.recent")), this.refreshed), h("p", { class: "hint" }, t("pipeline.recent.hint")), this.recent),
      ),
    );
    this.showRecent();
    this.tell("connecting", t("pipeline.connecting"));
  }

  /** @param {Beat[]} beats */
  take(beats) {
    this.beats = [...this.beats, ...beats].slice(-KEPT);
    const now = this.beats[this.beats.length - 1];
    this.showFigures(now);
    this.showCharts();
    if (now.sums) {
      fill(this.programmes, now.sums.length ? byProgramme(now.sums) : nothing(t("pipeline.empty"), t("pipeline.empty.hint")));
    }
  }

  /** @param {import("../api.js").Problem} problem */
  broken(problem) {
    if (problem.status === 401) window.dispatchEvent(new CustomEvent("carbonflow:signed-out"));
    const why = problem.kind === "too-many-listeners" ? "pipeline.crowded" : "pipeline.broken";
    this.tell("broken", t(why));
  }

  end() {
    this.rates.end();
    this.freshness.end();
  }

  /**
   * @param {string} state
   * @param {string} sentence
   */
  tell(state, sentence) {
    write(this.summary, sentence);
    if (state === this.state) return;
    // Whoever listens is told of a change, and not of every second.
    if (this.state) announce(`${t("view.pipeline")}: ${t(`pipeline.state.${state}`)}`);
    this.state = state;
    this.pill.className = `pill pill-${state}`;
    write(this.pill, t(`pipeline.state.${state}`));
  }

  /** @param {Beat} now */
  showFigures(now) {
    const before = this.beats.find((beat) => beat.at_ms >= now.at_ms - RATE_S * 1000 - 500) ?? now;
    const booked = rateOf(before, now, events);
    const refused = rateOf(before, now, refusals);
    const { freshness } = now;
    const values = {
      rate: format.number(booked ?? 0, { maximumFractionDigits: booked && booked < 10 ? 1 : 0 }),
      fresh: freshness ? format.duration(freshness.p50_ms) : "",
      behind: now.behind_ms === null ? "" : format.duration(now.behind_ms),
    };
    if (now.is_store_away) this.tell("away", t("pipeline.away"));
    else if (!now.sums) this.tell("connecting", t("pipeline.reading"));
    else if ((now.behind_ms ?? 0) > BEHIND_MS) this.tell("behind", t("pipeline.behind", values));
    else if (booked) this.tell("working", t(freshness ? "pipeline.working.fresh" : "pipeline.working", values));
    else this.tell("idle", now.sums.length ? t("pipeline.idle", { ago: newest(now) }) : t("pipeline.empty"));
    fill(this.figures, figures(now, values.rate, refused));
  }

  showCharts() {
    const { beats } = this;
    const last = beats[beats.length - 1].at_ms / 1000;
    const span = /** @type {[number, number]} */ ([Math.max(last - KEPT, Math.min(beats[0].at_ms / 1000, last - 60)), last]);
    this.rates.look.span = span;
    this.freshness.look.span = span;
    const x = beats.map((beat) => beat.at_ms / 1000);
    const series = [{ name: t("pipeline.booked"), colour: "saved", values: rates(beats, events) }];
    if (maySee("refusals")) {
      series.push({ name: t("pipeline.refused"), colour: "refused", values: rates(beats, refusals) });
    }
    this.rates.show({ x, series });
    this.freshness.show({
      x,
      series: [
        { name: t("pipeline.p50"), colour: "info", values: beats.map((beat) => beat.freshness?.p50_ms ?? null) },
        { name: t("pipeline.p99"), colour: "emitted", values: beats.map((beat) => beat.freshness?.p99_ms ?? null) },
      ],
    });
  }
}

/** @param {Beat} beat @returns {number | null} Events that are booked or known as repeats. */
function events(beat) {
  return beat.sums?.reduce((total, sum) => total + sum.activities + sum.duplicates, 0) ?? null;
}

/** @param {Beat} beat @returns {number | null} */
function refusals(beat) {
  return beat.refused && Object.values(beat.refused).reduce((total, count) => total + count, 0);
}

/**
 * @param {Beat} before
 * @param {Beat} now
 * @param {(beat: Beat) => number | null} of
 * @returns {number | null} How many a second.
 */
function rateOf(before, now, of) {
  const [from, to] = [of(before), of(now)];
  if (from === null || to === null || now.at_ms <= before.at_ms) return null;
  return Math.max(0, to - from) / ((now.at_ms - before.at_ms) / 1000);
}

/**
 * @param {Beat[]} beats
 * @param {(beat: Beat) => number | null} of
 * @returns {(number | null)[]}
 */
function rates(beats, of) {
  return beats.map((beat, place) => (place ? rateOf(beats[place - 1], beat, of) : null));
}

/** @param {Beat} now @returns {string} */
function newest(now) {
  const last = (now.sums ?? []).map((sum) => sum.newest_at).sort().at(-1);
  return last ? format.ago(last, now.at_ms) : "";
}

/**
 * @param {Beat} now
 * @param {string} rate
 * @param {number | null} refusedRate
 * @returns {HTMLElement}
 */
function figures(now, rate, refusedRate) {
  const sums = now.sums ?? [];
  const total = (/** @type {(sum: Sum) => number} */ of) => sums.reduce((all, sum) => all + of(sum), 0);
  const [done, refused] = [events(now), refusals(now)];
  const share = refused !== null && done ? refused / (done + refused) : 0;
  return tiles(
    tile(t("pipeline.rate"), rate, t("pipeline.perSecond"), "saved"),
    now.behind_ms === null ? null : tile(t("pipeline.lag"), now.behind_ms ? format.duration(now.behind_ms) : t("pipeline.lag.none"), now.lag_offsets === null ? "" : t("pipeline.lag.note", { n: format.number(now.lag_offsets) })),
    tile(
      t("pipeline.freshness"),
      now.freshness ? format.duration(now.freshness.p50_ms) : "\u2013",
      now.freshness ? t("pipeline.p99.note", { p99: format.duration(now.freshness.p99_ms) }) : t(now.source === "topic" ? "pipeline.quiet" : "pipeline.unmeasured"),
    ),
    tile(t("pipeline.activities"), format.number(total((sum) => sum.activities)), t("pipeline.duplicates", { n: format.number(total((sum) => sum.duplicates)) })),
    refused === null
      ? null
      : tile(t("pipeline.refused"), h("a", { href: "#/refusals" }, format.number(refused)), refusedRate ? t("pipeline.refused.rate", { n: format.number(refusedRate, { maximumFractionDigits: 1 }) }) : t("pipeline.refused.share", { share: format.percent(share) }), "refused"),
    tile(t("pipeline.saved"), format.mass(total((sum) => sum.reduction_mg)), t("pipeline.emitted.note", { mass: format.mass(total((sum) => sum.emissions_mg)) }), "saved"),
  );
}

/** @param {Sum[]} sums @returns {HTMLElement} */
function byProgramme(sums) {
  return table(
    t("pipeline.programmes"),
    [
      { name: t("carbon.programme"), head: true, cell: (sum) => names.programme(sum.programme) },
      { name: t("pipeline.accounts"), number: true, cell: (sum) => format.number(sum.accounts) },
      { name: t("pipeline.activities"), number: true, cell: (sum) => format.number(sum.activities) },
      { name: t("carbon.emitted"), number: true, cell: (sum) => format.mass(sum.emissions_mg) },
      { name: t("carbon.saved"), number: true, cell: (sum) => format.mass(sum.reduction_mg) },
    ],
    sums,
    { unseenCaption: true, stacked: true },
  );
}

/** @param {any[]} accounts @returns {HTMLElement} */
function recent(accounts) {
  if (!accounts.length) return nothing(t("accounts.none"));
  return table(
    t("pipeline.recent"),
    [
      { name: t("accounts.account"), head: true, cell: (each) => h("a", { href: `#/accounts/${encodeURIComponent(each.account_id)}` }, each.account_id) },
      { name: t("carbon.saved"), number: true, cell: (each) => format.mass(each.reduction_mg) },
      { name: t("accounts.updated"), number: true, cell: (each) => format.ago(each.updated_at) },
    ],
    accounts,
    { unseenCaption: true },
  );
}
