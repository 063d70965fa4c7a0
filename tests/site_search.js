// Ask the search of a built site, as its page does: node site_search.js SITE LANGUAGES WORDS...
// Prints one line of JSON for each of the words: the places found, best first.
"use strict";

const fs = require("node:fs");
const vm = require("node:vm");

const [, , site, languages, ...words] = process.argv;
const folder = `${site}/assets/javascripts/workers/`;
const script = fs.readdirSync(folder).find((name) => /^search.*\.js$/.test(name));
const index = JSON.parse(fs.readFileSync(`${site}/search.json`, "utf8"));
index.config.lang = languages.split(",");

const waiting = [];
const self = { postMessage: (message) => waiting.shift()(message) };
vm.runInNewContext(fs.readFileSync(folder + script, "utf8"), { self, Intl });

function ask(type, data) {
  return new Promise((resolve) => {
    waiting.push(resolve);
    self.onmessage({ data: { type, data } });
  });
}

(async () => {
  await ask(0, index);
  for (const input of words) {
    const { data } = await ask(2, { input });
    console.log(JSON.stringify(data.items.map(({ id }) => index.items[id].location)));
  }
})();
