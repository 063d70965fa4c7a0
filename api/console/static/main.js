// The console: which view is shown, in which language and theme, and to whom.

import { ask, Problem } from "./api.js";
import { announce, at, fill, h } from "./dom.js";
import { applyLanguage, chooseLanguage, language, t } from "./i18n.js";
import { readNames } from "./names.js";
import { wrong } from "./parts.js";
import { forget, maySee, setWhoLooks, token, whoLooks } from "./session.js";
import { applyTheme, chooseTheme, onSystemTheme, theme } from "./theme.js";
import { account, accounts } from "./views/accounts.js";
import { carbon } from "./views/carbon.js";
import { factors } from "./views/factors.js";
import { pipeline } from "./views/pipeline.js";
import { refusal, refusals } from "./views/refusals.js";
import { signIn } from "./views/signin.js";
import { transfer } from "./views/transfer.js";

/**
 * A view, which fills a place and ends what it began when it is told to.
 *
 * @typedef {(place: HTMLElement, what: Where, signal: AbortSignal) => void | Promise<void>} View
 */

/**
 * Where the console is.
 *
 * @typedef {object} Where
 * @property {string} view
 * @property {string} id What of it; "" for the list.
 * @property {URLSearchParams} query
 */

const VIEWS = ["pipeline", "carbon", "accounts", "refusals", "factors"];

/** @type {Record<string, View>} */
const LISTS = { pipeline, carbon, accounts, refusals, factors };
/** @type {Record<string, View>} */
const SINGLES = { accounts: account, transfers: transfer, refusals: refusal };
/** Which entry of the menu stands for a view. @type {Record<string, string>} */
const ENTRY = { transfers: "accounts" };

let shown = new AbortController();

/** @returns {Where} */
function where() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...id] = path.split("/");
  return { view, id: decodeURIComponent(id.join("/")), query: new URLSearchParams(query) };
}

/** @returns {string} Where whoever looks begins. */
function home() {
  const me = whoLooks();
  return me?.kind === "account" ? `#/accounts/${encodeURIComponent(me.subject)}` : "#/pipeline";
}

/**
 * Show where the console is.
 *
 * @param {{ focus: boolean }} how Focus: somebody went there, and reads on from there.
 */
function show({ focus }) {
  shown.abort();
  shown = new AbortController();
  const what = where();
  const view = what.id ? SINGLES[what.view] : LISTS[what.view];
  const entry = ENTRY[what.view] ?? what.view;
  if (!view || !maySee(entry)) {
    location.replace(home());
    return;
  }
  header(entry);
  const title = t(`view.${entry}`);
  document.title = what.id ? `${what.id} · ${title} · Carbonflow` : `${title} · Carbonflow`;
  const place = h("div", { class: `view view-${what.view}` });
  fill(at("main"), place);
  view(place, what, shown.signal);
  if (focus) {
    at("main").focus({ preventScroll: true });
    window.scrollTo(0, 0);
    announce(document.title);
  }
}

/** @param {string} entry The one that is shown; "" for none. */
function header(entry) {
  const me = whoLooks();
  const other = language() === "en" ? "zh" : "en";
  const next = theme() === "dark" ? "light" : "dark";
  fill(
    at("top"),
    h(
      "a",
      { class: "brand", href: me ? home() : "#/" },
      h("img", { src: new URL("./mark.svg", import.meta.url), alt: "", width: 28, height: 28 }),
      "Carbonflow",
    ),
    me
      ? h(
          "nav",
          { "aria-label": t("nav.label") },
          VIEWS.filter(maySee).map((view) =>
            h(
              "a",
              {
                href: view === "accounts" && me.kind === "account" ? home() : `#/${view}`,
                "aria-current": view === entry ? "page" : null,
              },
              t(`view.${view}`),
            ),
          ),
        )
      : null,
    h(
      "div",
      { class: "tools" },
      h(
        "button",
        {
          type: "button",
          class: "tool",
          id: "language",
          lang: other === "zh" ? "zh-Hans" : "en",
          onclick: () => {
            chooseLanguage(other);
            again("language");
          },
        },
        other === "zh" ? "中文" : "English",
      ),
      h(
        "button",
        {
          type: "button",
          class: "tool",
          id: "theme",
          "aria-label": t(`theme.${next}`),
          title: t(`theme.${next}`),
          onclick: () => {
            chooseTheme(next);
            again("theme");
          },
        },
        next === "dark" ? "\u263e" : "\u2600",
      ),
      me?.needs_token
        ? h("button", { type: "button", class: "tool", id: "sign-out", onclick: signOut }, t("session.out"))
        : null,
    ),
  );
  fill(
    at("foot"),
    h("span", {}, `Carbonflow ${me?.version ?? ""}`),
    me ? h("span", {}, me.kind === "operator" ? t("session.operator") : `${t(`session.${me.kind}`)} ${me.subject}`) : null,
    h("a", { href: new URL("../docs", import.meta.url) }, t("foot.docs")),
  );
  fill(at("skip"), t("nav.skip"));
}

/**
 * Show everything once more, as language and theme are now.
 *
 * @param {string} button Keeps the focus.
 */
function again(button) {
  applyTheme();
  if (whoLooks()) show({ focus: false });
  else askWho();
  document.getElementById(button)?.focus();
}

/** Forget the token, and ask for another. */
function signOut() {
  forget();
  location.hash = "#/";
  askWho();
}

/**
 * Ask for a token.
 *
 * @param {Problem} [refused] Why the last one was not taken.
 */
function askToken(refused) {
  shown.abort();
  forget();
  header("");
  document.title = `${t("signin.title")} · Carbonflow`;
  const place = h("div", { class: "view view-signin" });
  fill(at("main"), place);
  signIn(place, askWho, refused);
}

/** Ask who looks, and show what they may see. */
async function askWho() {
  const had = token() !== "";
  try {
    setWhoLooks(await ask("console/me"));
  } catch (error) {
    if (error instanceof Problem && (error.status === 401 || error.status === 403)) {
      askToken(had ? error : undefined);
      return;
    }
    header("");
    fill(at("main"), h("div", { class: "view" }, wrong(error, askWho)));
    return;
  }
  if (!where().view) history.replaceState(null, "", home());
  show({ focus: false });
}

applyTheme();
applyLanguage();
onSystemTheme(() => again("main"));
window.addEventListener("hashchange", () => whoLooks() && show({ focus: true }));
window.addEventListener("carbonflow:signed-out", () => askToken(new Problem(401, "unauthorized", "")));
at("skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("main").focus();
});
await readNames();
await askWho();
