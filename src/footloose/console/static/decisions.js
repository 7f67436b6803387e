// What was decided, and why; newest first.

import { byId, html, keyed, set, text } from "./dom.js";
import { clock, count, plural, serviceName } from "./format.js";

const KEPT = 1_000;
const SHOWN = 200;
const NODE_IDS = /\b[a-z2-7]{52}\b/g;
const STEPS = ["observe", "trace", "discover", "measure", "choose", "agree", "deploy", "redirect", "retire"];

/** Keeps decisions and shows those that pass the filters: service, step, and what they are about. */
export class Decisions {
  #kept = [];
  #keys = new Set();
  #steps = new Set();
  #service = "";
  #about = null;
  #names = (id) => id;
  #due = false;
  #node = null;
  #services = new Set();

  constructor(onClear) {
    byId("about-clear").addEventListener("click", onClear);
    for (const step of STEPS) byId("steps").append(this.#stepButton(step));
  }

  /** Take one decision. One already known (a site may repeat itself after a lost line) is left out. */
  add(decision) {
    const key = [decision.at, decision.site, decision.service, decision.step, decision.subject, decision.outcome].join("\n");
    if (this.#keys.has(key)) return;
    this.#keys.add(key);
    this.#services.add(decision.service);
    this.#kept.push({ ...decision, key });
    if (this.#kept.length > 1 && this.#kept.at(-2).at > decision.at) this.#kept.sort((one, other) => one.at - other.at);
    while (this.#kept.length > KEPT) this.#keys.delete(this.#kept.shift().key);
    this.#soon();
  }

  /** Show only what concerns this service ("" for all) and `about` (a prefix or a site; null for all). */
  filter({ service, about, names, node }) {
    this.#service = service;
    this.#about = about;
    this.#names = names;
    this.#node = node;
    this.#soon();
  }

  #stepButton(step) {
    const button = html("button", { type: "button", "aria-pressed": "false" }, step);
    button.addEventListener("click", () => {
      if (!this.#steps.delete(step)) this.#steps.add(step);
      set(button, "aria-pressed", this.#steps.has(step) ? "true" : "false");
      this.#soon();
    });
    return button;
  }

  // Many may come at once, as after a reconnect; the page is brought up to date once for all of them.
  #soon() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#show();
    });
  }

  #show() {
    const passing = this.#kept.filter((each) => this.#passes(each)).reverse();
    keyed(byId("decisions"), passing.slice(0, SHOWN), (each) => each.key, (each) => this.#create(each), (line, each) => this.#update(line, each));
    const all = passing.length === this.#kept.length;
    text(byId("decisions-count"), all ? plural(passing.length, "decision") : `${count(passing.length)} of ${count(this.#kept.length)}`);
    set(byId("decisions"), "data-empty", passing.length > 0 ? null : this.#kept.length > 0 ? "None like that." : "None yet.");
    set(byId("about"), "hidden", this.#about === null);
    if (this.#about !== null) text(byId("about").firstElementChild, `About ${this.#names(this.#about)}`);
  }

  #passes(decision) {
    if (this.#service !== "" && decision.service !== this.#service) return false;
    if (this.#steps.size > 0 && !this.#steps.has(decision.step)) return false;
    return this.#about === null || decision.subject === this.#about || decision.site === this.#about || mentions(decision.inputs, this.#about);
  }

  #create(decision) {
    const inputs = html("dl", {});
    for (const [name, value] of Object.entries(decision.inputs ?? {})) {
      const shown = typeof value === "object" && value !== null ? JSON.stringify(value, null, 1) : String(value);
      inputs.append(html("div", {}, html("dt", {}, this.#named(name)), html("dd", {}, this.#named(shown))));
    }
    inputs.append(html("div", {}, html("dt", {}, "site"), html("dd", {}, decision.site)));
    inputs.append(html("div", {}, html("dt", {}, "service"), html("dd", {}, decision.service)));
    const line = html(
      "p",
      {},
      html("time", { datetime: new Date(decision.at * 1000).toISOString() }, clock(decision.at)),
      " ",
      html("b", { "data-step": decision.step }, decision.step),
      " ",
      html("span", { class: "what" }),
    );
    const head = html("summary", {}, line, html("p", { class: "reason" }, decision.reason));
    return html("li", {}, html("details", {}, head, inputs));
  }

  #named(words) {
    return words.replace(NODE_IDS, (id) => this.#names(id));
  }

  #update(line, decision) {
    const elsewhere = decision.site === this.#node ? "" : ` (at ${this.#names(decision.site)})`;
    const service = this.#services.size > 1 && this.#service === "" ? ` · ${serviceName(decision.service)}` : "";
    const subject = decision.subject === "" ? "" : `${this.#names(decision.subject)} → `;
    text(line.querySelector(".what"), `${subject}${this.#names(decision.outcome)}${elsewhere}${service}`);
  }
}

function mentions(inputs, wanted) {
  if (inputs === wanted) return true;
  if (typeof inputs !== "object" || inputs === null) return false;
  return Object.entries(inputs).some(([name, value]) => name === wanted || mentions(value, wanted));
}
