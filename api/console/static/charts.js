// Charts over time, drawn by uPlot in the colours of the page; each has a table that says the same.

import { fill, h, table } from "./dom.js";
import { t } from "./i18n.js";
import { colour } from "./theme.js";

/** uPlot is a plain script, which comes before this module. @type {any} */
const Plot = /** @type {any} */ (window).uPlot;

/**
 * One line, or one bar of each group.
 *
 * @typedef {object} Series
 * @property {string} name
 * @property {string} colour A colour of the page, such as "saved".
 * @property {(number | null)[]} values
 */

/**
 * What a chart shows.
 *
 * @typedef {object} Data
 * @property {number[]} x Seconds since 1970, ascending.
 * @property {Series[]} series
 */

/**
 * How a chart shows it.
 *
 * @typedef {object} Look
 * @property {string} label What it shows, in a sentence.
 * @property {"lines" | "bars"} kind
 * @property {(value: number) => string} value
 * @property {(x: number) => string} x
 * @property {number} [height]
 * @property {number} [highest] What the axis reaches at least.
 * @property {[number, number]} [span] Range of x [s], where it is not that of the data.
 */

const HEIGHT = 220;
const FONT = '12px system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif';

/** A chart that can be given new data. */
export class Chart {
  /**
   * @param {Look} look
   */
  constructor(look) {
    this.look = look;
    this.canvas = h("div", { class: "plot", role: "img", "aria-label": look.label });
    this.legend = h("ul", { class: "legend" });
    this.rows = h("div");
    this.table = h(
      "details",
      { class: "as-table", ontoggle: () => this.showTable() },
      h("summary", {}, t("chart.table")),
      this.rows,
    );
    this.element = h("figure", { class: "chart" }, this.legend, this.canvas, this.table);
    /** @type {Data | null} */
    this.data = null;
    /** @type {any} */
    this.plot = null;
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.canvas);
  }

  /** @param {Data} data */
  show(data) {
    const same = this.data && names(this.data) === names(data);
    this.data = data;
    if (!same || !this.plot) this.draw();
    else {
      this.plot.setData(columns(data), false);
      this.scale();
      this.showLegend(this.plot.cursor.idx ?? null);
    }
    this.showTable();
  }

  /** Draw it anew, in the colours of now. */
  draw() {
    this.plot?.destroy();
    this.plot = null;
    const { data } = this;
    if (!data || !this.canvas.clientWidth) return;
    this.plot = new Plot(this.options(data), columns(data), this.canvas);
    this.scale();
    this.showLegend(null);
  }

  /** Stop looking after it. */
  end() {
    this.watcher.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  resize() {
    if (!this.plot) this.draw();
    else this.plot.setSize({ width: this.canvas.clientWidth, height: this.look.height ?? HEIGHT });
  }

  scale() {
    const { x, series } = /** @type {Data} */ (this.data);
    const values = series.flatMap((each) => each.values.filter((value) => value !== null));
    const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
    const gap = x.length > 1 ? smallestGap(x) : 86_400;
    const [first, last] = this.look.span ?? [x[0], x[x.length - 1]];
    const half = this.look.kind === "bars" ? gap * 0.6 : 0;
    this.plot.batch(() => {
      this.plot.setScale("x", { min: first - half, max: last + half });
      this.plot.setScale("y", { min: low * 1.08, max: Math.max(high * 1.08, this.look.highest ?? 1) });
    });
  }

  /** @param {Data} data */
  options(data) {
    const { look } = this;
    const axis = { stroke: colour("muted"), font: FONT, ticks: { show: false } };
    const grid = { stroke: colour("line"), width: 1 };
    const widest = (/** @type {string[] | null} */ labels) =>
      Math.max(48, 12 + 7 * Math.max(0, ...(labels ?? []).map((label) => label.length)));
    return {
      width: this.canvas.clientWidth,
      height: look.height ?? HEIGHT,
      padding: [8, 30, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 8 }, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: {} },
      hooks: { setCursor: [(/** @type {any} */ plot) => this.showLegend(plot.cursor.idx ?? null)] },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 30,
          space: 84,
          values: (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map(look.x),
          splits: look.kind === "bars" ? () => spread(data.x, this.canvas.clientWidth) : undefined,
        },
        {
          ...axis,
          grid,
          space: 40,
          size: (/** @type {any} */ _, /** @type {string[] | null} */ labels) => widest(labels),
          values: (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => onAxis(tick, look)),
        },
      ],
      series: [{}, ...data.series.map((each, place) => this.seriesOptions(each, place))],
    };
  }

  /**
   * @param {Series} series
   * @param {number} place
   */
  seriesOptions(series, place) {
    const stroke = colour(series.colour);
    if (this.look.kind === "lines") {
      return { stroke, width: 2, fill: place === 0 ? `${stroke}1f` : undefined, points: { show: false } };
    }
    const count = /** @type {Data} */ (this.data).series.length;
    const align = count === 1 ? 0 : place === 0 ? -1 : 1;
    return {
      stroke,
      fill: stroke,
      width: 0,
      points: { show: false },
      paths: Plot.paths.bars({ size: [0.72 / count, 36], align, radius: 0.08 }),
    };
  }

  /** @param {number | null} index The one pointed at. */
  showLegend(index) {
    const { data, look } = this;
    if (!data) return;
    const place = index ?? data.x.length - 1;
    fill(
      this.legend,
      data.series.map((each) => {
        const value = each.values[place];
        return h(
          "li",
          {},
          h("span", { class: `swatch ${each.colour}` }),
          `${each.name} `,
          h("b", {}, value === null || value === undefined ? "\u2013" : look.value(value)),
        );
      }),
      data.x.length ? h("li", { class: "when" }, look.x(data.x[place])) : null,
    );
  }

  showTable() {
    const { data, look } = this;
    if (!data || !(/** @type {HTMLDetailsElement} */ (this.table).open)) return;
    const places = data.x.map((_, place) => place).reverse().slice(0, 120);
    fill(
      this.rows,
      table(
        look.label,
        [
          { name: t("chart.when"), head: true, cell: (/** @type {number} */ at) => look.x(data.x[at]) },
          ...data.series.map((each) => ({
            name: each.name,
            number: true,
            cell: (/** @type {number} */ at) => {
              const value = each.values[at];
              return value === null ? "\u2013" : look.value(value);
            },
          })),
        ],
        places,
        { unseenCaption: true },
      ),
    );
  }
}

/**
 * Return what stands at an axis: no more digits than it takes.
 *
 * @param {number} tick
 * @param {Look} look
 * @returns {string}
 */
function onAxis(tick, look) {
  if (!tick) return "0";
  return look.value(tick).replace(/\.(\d*?)0+(?!\d)/, (_, kept) => (kept ? `.${kept}` : ""));
}

/** @param {Data} data @returns {string} */
function names(data) {
  return data.series.map((each) => each.name).join("\n");
}

/** @param {Data} data */
function columns(data) {
  return [data.x, ...data.series.map((each) => each.values)];
}

/** @param {number[]} x @returns {number} */
function smallestGap(x) {
  let gap = Infinity;
  for (let place = 1; place < x.length; place += 1) gap = Math.min(gap, x[place] - x[place - 1]);
  return gap;
}

/**
 * Return some of the places of bars, so that what stands below them has room.
 *
 * @param {number[]} x
 * @param {number} width [px]
 * @returns {number[]}
 */
function spread(x, width) {
  const every = Math.max(1, Math.ceil(x.length / Math.max(2, Math.floor((width - 80) / 112))));
  return x.filter((_, place) => (x.length - 1 - place) % every === 0);
}
