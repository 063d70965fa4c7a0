// The sign-in: a token for this tab.

import { Problem } from "../api.js";
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { keepToken } from "../session.js";

/**
 * @param {HTMLElement} place
 * @param {() => void} done Called when there is a token.
 * @param {Problem} [refused] Why the last one was not taken.
 */
export function signIn(place, done, refused) {
  const field = /** @type {HTMLInputElement} */ (
    h("input", {
      id: "token",
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
      "aria-describedby": refused ? "token-wrong token-hint" : "token-hint",
      "aria-invalid": refused ? "true" : null,
    })
  );
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    keepToken(field.value.trim());
    done();
  };
  place.append(
    h(
      "form",
      { class: "card signin", onsubmit: submit },
      h("h1", {}, t("signin.title")),
      h("p", { id: "token-hint" }, t("signin.hint")),
      h("label", { for: "token" }, t("signin.token")),
      field,
      refused
        ? h("p", { class: "field-wrong", id: "token-wrong", role: "alert" }, t(refused.status === 403 ? "signin.elsewhere" : "signin.nobody"))
        : null,
      h("button", { type: "submit", class: "button primary" }, t("signin.submit")),
    ),
  );
  field.focus();
}
