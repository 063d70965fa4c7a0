// Refusals: what was not booked, why, what to do about it, and the raw record.

import { ask } from "../api.js";
import { definitions, fill, h, table } from "../dom.js";
import * as format from "../format.js";
import { language, t } from "../i18n.js";
import { MEANINGS, REMEDIES } from "../messages/refusals-zh.js";
import { card, choice, heading, nothing, showAnswer } from "../parts.js";

/** @typedef {{ code: string, count: number, meaning: string, remedy: string }} Code */
/** @typedef {{ refusal_id: string, code: string, reason: string, origin: string, topic: string, partition: number | null, offset: number | null, timestamp: string | null, file: string, line: number | null, source: string, account_id: string, attempt: number, value_bytes: number | null, is_replayed: boolean, refused_at: string }} Refusal */

const PAGE = 25;
/** Bytes of one line of a dump. */
const WIDTH = 16;
const DUMP_BYTES = 4096;

/** @param {Code} code @returns {string} */
function meaning(code) {
  return language() === "zh" ? MEANINGS[code.code] ?? code.meaning : code.meaning;
}

/** @param {Code} code @returns {string} */
function remedy(code) {
  return language() === "zh" ? REMEDIES[code.code] ?? code.remedy : code.remedy;
}

/**
 * @param {HTMLElement} place
 * @param {import("../main.js").Where} what
 * @param {AbortSignal} signal
 */
export function refusals(place, what, signal) {
  const shown = h("div");
  place.append(heading(t("view.refusals"), t("refusals.lead")), shown);
  return showAnswer(
    shown,
    () => ask("console/refusal-codes", {}, signal),
    ({ codes }) => (codes.length ? browser(codes, what.query.get("code") ?? "", signal) : nothing(t("refusals.none"), t("refusals.none.hint"))),
    signal,
  );
}

/**
 * @param {Code[]} codes
 * @param {string} first
 * @param {AbortSignal} signal
 * @returns {HTMLElement}
 */
function browser(codes, first, signal) {
  const [explained, listed] = [h("div"), h("div")];
  /** Cursors of the pages before and of this one. @type {(string | null)[]} */
  let cursors = [null];
  let code = codes.some((each) => each.code === first) ? first : "";
  const show = () =>
    showAnswer(
      listed,
      () => ask("refusals", { code, order: "newest", limit: PAGE, cursor: cursors.at(-1) }, signal),
      (page) => pageOf(page, codes, { code, cursors, show }),
      signal,
    );
  const choose = (/** @type {string} */ value) => {
    code = value;
    cursors = [null];
    history.replaceState(null, "", value ? `#/refusals?code=${value}` : "#/refusals");
    const chosen = codes.find((each) => each.code === value);
    fill(explained, chosen ? explanation(chosen) : null);
    show();
  };
  const all = codes.reduce((total, each) => total + each.count, 0);
  const chips = choice(
    t("refusals.byCode"),
    [["", `${t("refusals.all")} · ${format.number(all)}`], ...codes.map((each) => /** @type {[string, string]} */ ([each.code, `${each.code} · ${format.number(each.count)}`]))],
    code,
    choose,
  );
  chips.classList.add("chips");
  choose(code);
  return h("div", { class: "stack" }, chips, explained, h("div", { class: "card" }, listed));
}

/** @param {Code} code @returns {HTMLElement} */
function explanation(code) {
  return h(
    "div",
    { class: "explained" },
    h("p", {}, h("b", {}, meaning(code))),
    h("p", {}, h("span", { class: "what-to-do" }, t("refusals.remedy")), " ", withCommands(remedy(code))),
  );
}

/**
 * Return a text in which what stands between backticks is a command.
 *
 * @param {string} text
 * @returns {any[]}
 */
function withCommands(text) {
  return text.split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));
}

/**
 * @param {{ refusals: Refusal[], next_cursor: string | null }} page
 * @param {Code[]} codes
 * @param {{ code: string, cursors: (string | null)[], show: () => void }} state
 * @returns {HTMLElement}
 */
function pageOf({ refusals: found, next_cursor: next }, codes, { code, cursors, show }) {
  const turn = (/** @type {() => void} */ change) => () => {
    change();
    show();
  };
  return h(
    "div",
    {},
    table(
      t("refusals.page", { n: cursors.length }),
      [
        { name: t("refusals.at"), head: true, cell: (each) => h("a", { href: `#/refusals/${each.refusal_id}` }, h("time", { datetime: each.refused_at }, format.instant(each.refused_at))) },
        ...(code ? [] : [{ name: t("refusals.code"), cell: (/** @type {Refusal} */ each) => h("span", { class: "code whole" }, each.code) }]),
        { name: t("refusals.reason"), cell: (each) => reason(each, codes.find((one) => one.code === each.code)) },
        { name: t("accounts.account"), cell: (each) => each.account_id },
        { name: t("refusals.where"), cell: (each) => h("span", { class: "code" }, origin(each)) },
        { name: t("refusals.state"), cell: (each) => t(each.is_replayed ? "refusals.replayed" : "refusals.open") },
      ],
      found,
      { stacked: true },
    ),
    h(
      "div",
      { class: "pages" },
      cursors.length > 1 ? h("button", { type: "button", class: "button", onclick: turn(() => cursors.pop()) }, t("refusals.before")) : null,
      next ? h("button", { type: "button", class: "button", onclick: turn(() => cursors.push(next)) }, t("refusals.next")) : null,
    ),
  );
}

/**
 * Return why it was refused; what the code means in the chosen language, where that says it all.
 *
 * @param {Refusal} refusal
 * @param {Code | undefined} code
 * @returns {HTMLElement}
 */
function reason(refusal, code) {
  const isPlain = code !== undefined && refusal.reason === code.meaning;
  return isPlain ? h("span", {}, meaning(code)) : h("span", { lang: "en" }, refusal.reason);
}

/** @param {Refusal} refusal @returns {string} */
function origin(refusal) {
  return refusal.origin === "worker"
    ? `${refusal.topic} / ${refusal.partition} / ${refusal.offset}`
    : `${refusal.file}:${refusal.line}`;
}

/**
 * @param {HTMLElement} place
 * @param {import("../main.js").Where} what
 * @param {AbortSignal} signal
 */
export function refusal(place, what, signal) {
  const shown = h("div");
  place.append(
    h("p", { class: "crumbs" }, h("a", { href: "#/refusals" }, t("view.refusals"))),
    heading(t("refusals.one", { id: what.id })),
    shown,
  );
  const question = async () => {
    const [record, { codes }] = await Promise.all([
      ask(`refusals/${encodeURIComponent(what.id)}`, {}, signal),
      ask("console/refusal-codes", {}, signal),
    ]);
    return { record, code: codes.find((/** @type {Code} */ each) => each.code === record.refusal.code) };
  };
  return showAnswer(shown, question, ({ record, code }) => single(record, code), signal);
}

/**
 * @param {{ refusal: Refusal, key_base64: string | null, value_base64: string }} record
 * @param {Code | undefined} code
 * @returns {HTMLElement}
 */
function single({ refusal: found, key_base64, value_base64 }, code) {
  const value = bytesOf(value_base64);
  const raw = h("div");
  const show = (/** @type {string} */ how) => fill(raw, how === "hex" ? dump(value) : text(value));
  show("hex");
  const whole = found.value_bytes !== null && found.value_bytes > value.length;
  return h(
    "div",
    { class: "stack" },
    code ? explanation(code) : null,
    card(
      t("refusals.facts"),
      definitions([
        [t("refusals.code"), h("span", { class: "code" }, found.code)],
        [t("refusals.reason"), reason(found, code)],
        [t("refusals.at"), format.instant(found.refused_at)],
        [t("refusals.received"), format.instant(found.timestamp)],
        [t("refusals.where"), h("span", { class: "code" }, origin(found))],
        [t("refusals.source"), found.source],
        [t("accounts.account"), found.account_id],
        [t("refusals.key"), key_base64 === null ? "" : new TextDecoder().decode(bytesOf(key_base64))],
        [t("refusals.attempts"), found.attempt ? format.number(found.attempt) : ""],
        [t("refusals.state"), t(found.is_replayed ? "refusals.replayed" : "refusals.open")],
      ]),
    ),
    h(
      "section",
      { class: "card" },
      h("div", { class: "card-head" }, h("h2", {}, t("refusals.raw", { n: format.number(value.length) })), choice(t("refusals.show"), [["hex", t("refusals.hex")], ["text", "UTF-8"]], "hex", show)),
      whole ? h("p", { class: "hint" }, t("refusals.cut", { n: format.number(found.value_bytes ?? 0) })) : null,
      raw,
    ),
  );
}

/** @param {string} base64 @returns {Uint8Array} */
function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** @param {Uint8Array} bytes @returns {HTMLElement} */
function dump(bytes) {
  const lines = [];
  for (let from = 0; from < Math.min(bytes.length, DUMP_BYTES); from += WIDTH) {
    const part = [...bytes.subarray(from, from + WIDTH)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${from.toString(16).padStart(6, "0")}  ${hex.padEnd(WIDTH * 3 - 1)}  ${letters}`);
  }
  return rawText(lines.join("\n"), bytes.length > DUMP_BYTES);
}

/** @param {Uint8Array} bytes @returns {HTMLElement} */
function text(bytes) {
  return rawText(new TextDecoder().decode(bytes.subarray(0, DUMP_BYTES)), bytes.length > DUMP_BYTES);
}

/**
 * @param {string} shown
 * @param {boolean} isCut
 * @returns {HTMLElement}
 */
function rawText(shown, isCut) {
  return h(
    "div",
    {},
    h("pre", { class: "raw", tabindex: 0, role: "region", "aria-label": t("refusals.rawLabel") }, shown),
    isCut ? h("p", { class: "hint" }, t("refusals.shownFirst", { n: format.number(DUMP_BYTES) })) : null,
  );
}
