// Parts that several views show: headings, tiles, waiting, nothing, and what went wrong.

import { fill, h } from "./dom.js";
import { has, t } from "./i18n.js";
import { Problem } from "./api.js";

/**
 * Return the heading of a view.
 *
 * @param {string} title
 * @param {string} [lead] A sentence below it.
 * @param {...any} more What stands beside it.
 * @returns {HTMLElement}
 */
export function heading(title, lead = "", ...more) {
  return h(
    "div",
    { class: "heading" },
    h("div", {}, h("h1", {}, title), lead ? h("p", { class: "lead" }, lead) : null),
    ...more,
  );
}

/**
 * Return a card with a heading.
 *
 * @param {string} title
 * @param {...any} children
 * @returns {HTMLElement}
 */
export function card(title, ...children) {
  return h("section", { class: "card" }, h("h2", {}, title), ...children);
}

/**
 * Return a number that matters, with its name above and what belongs to it below.
 *
 * @param {string} name
 * @param {any} value
 * @param {any} [note]
 * @param {string} [tone] A colour of the page, or text, which is smaller than a number.
 * @returns {HTMLElement}
 */
export function tile(name, value, note, tone) {
  return h(
    "div",
    { class: `tile${tone ? ` tone-${tone}` : ""}` },
    h("dt", {}, name),
    h("dd", {}, h("span", { class: "value" }, value), note ? h("span", { class: "note" }, note) : null),
  );
}

/**
 * Return tiles, as one list of terms.
 *
 * @param {...(HTMLElement | null)} tiles
 * @returns {HTMLElement}
 */
export function tiles(...tiles) {
  return h("dl", { class: "tiles" }, tiles);
}

/** @returns {HTMLElement} What stands where something is still to come. */
export function waiting() {
  return h(
    "div",
    { class: "waiting", role: "status" },
    h("span", { class: "unseen" }, t("state.loading")),
    h("span", { class: "bone wide" }),
    h("span", { class: "bone" }),
    h("span", { class: "bone narrow" }),
  );
}

/**
 * Return what stands where there is nothing.
 *
 * @param {string} title
 * @param {string} [hint]
 * @param {...any} more
 * @returns {HTMLElement}
 */
export function nothing(title, hint = "", ...more) {
  return h(
    "div",
    { class: "nothing" },
    h("p", { class: "nothing-title" }, title),
    hint ? h("p", {}, hint) : null,
    ...more,
  );
}

/**
 * Return what went wrong, and a button to try again.
 *
 * @param {unknown} error
 * @param {() => void} again
 * @returns {HTMLElement}
 */
export function wrong(error, again) {
  const problem = error instanceof Problem ? error : new Problem(-1, "bug", String(error));
  const known = has(`problem.${problem.kind}`) ? problem.kind : "other";
  return h(
    "div",
    { class: "wrong", role: "alert" },
    h("p", { class: "wrong-title" }, t(`problem.${known}`)),
    problem.message ? h("p", { class: "detail", lang: "en" }, problem.message) : null,
    h("button", { type: "button", class: "button", onclick: again }, t("state.again")),
  );
}

/**
 * Show what comes of a question, and until then that it is on its way.
 *
 * @template T
 * @param {HTMLElement} place
 * @param {() => Promise<T>} question
 * @param {(answer: T) => any} shown
 * @param {AbortSignal} signal
 */
export async function showAnswer(place, question, shown, signal) {
  fill(place, waiting());
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await question();
    if (!signal.aborted) fill(place, shown(answer));
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Problem && error.status === 401) {
      window.dispatchEvent(new CustomEvent("carbonflow:signed-out"));
      return;
    }
    fill(place, wrong(error, () => showAnswer(place, question, shown, signal)));
    if (!(error instanceof Problem)) throw error;
  } finally {
    place.removeAttribute("aria-busy");
  }
}

/**
 * Return buttons of which one is chosen.
 *
 * @param {string} label
 * @param {[string, string][]} choices Values and what they are called.
 * @param {string} chosen
 * @param {(value: string) => void} choose
 * @returns {HTMLElement}
 */
export function choice(label, choices, chosen, choose) {
  const group = h("div", { class: "choice", role: "group", "aria-label": label });
  const buttons = choices.map(([value, name]) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(value === chosen),
        onclick: (/** @type {Event} */ event) => {
          for (const each of buttons) {
            each.setAttribute("aria-pressed", String(each === event.currentTarget));
          }
          choose(value);
        },
      },
      name,
    ),
  );
  group.append(...buttons);
  return group;
}
