// Brings the parts of the page together: what is shown of the last view, and what the reader picked.

import { byId, html, keyed, set, text } from "./dom.js";
import { Decisions } from "./decisions.js";
import { count, duration, known, median, millis, plural, serviceName } from "./format.js";
import { follow } from "./feed.js";
import { History } from "./history.js";
import { TreeMap } from "./map.js";
import { Services, Sites, Users, siteNames } from "./tables.js";

const STALE_S = 15; // a view this old no longer counts as live

const picked = { service: "", about: null };
const line = { state: "connecting", viewAt: null };
let last = null;
let due = false;

const history = new History();
const map = new TreeMap(byId("map"), select);
const users = new Users(history, select);
const sites = new Sites(select);
const services = new Services();
const decisions = new Decisions(() => select(null));

byId("service").addEventListener("change", (event) => {
  picked.service = event.target.value;
  soon();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && picked.about !== null) select(null);
});

follow({
  onView(view) {
    if (view.at !== last?.at) line.viewAt = performance.now();
    last = view;
    history.add(view);
    soon();
    showLink();
  },
  onDecision: (decision) => decisions.add(decision),
  onLink(state) {
    line.state = state;
    showLink();
  },
});
setInterval(showLink, 1_000);

/** Pick a prefix or a site to look at; picking it again, or null, lets go. */
function select(id) {
  picked.about = id === picked.about ? null : id;
  soon();
}

function soon() {
  if (due || last === null) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    show(last);
  });
}

function show(all) {
  showServices(all);
  const view = picked.service === "" ? all : ofService(all, picked.service);
  text(byId("site-name"), all.name);
  document.title = `${all.name} – Footloose`;
  showSummary(view);
  map.show(view, all, picked.about);
  users.show(view, picked.about);
  sites.show(view, picked.about);
  services.show(view);
  decisions.filter({ ...picked, names: siteNames(all), node: all.node });
}

function ofService(view, service) {
  const mine = (each) => each.service === service;
  return { ...view, users: view.users.filter(mine), services: view.services.filter(mine) };
}

function showServices(view) {
  const names = [...new Set([...view.services, ...view.users].map((each) => each.service))].sort();
  if (picked.service !== "" && !names.includes(picked.service)) names.push(picked.service);
  const short = (name) => (names.filter((each) => serviceName(each) === serviceName(name)).length > 1 ? name : serviceName(name));
  keyed(byId("service"), ["", ...names], (name) => name, (name) => html("option", { value: name }), (option, name) => text(option, name === "" ? "All" : short(name)));
}

function showSummary(view) {
  const now = median(view.users.map((user) => user.rtt_ms).filter(known));
  const first = median(view.users.map((user) => user.first_rtt_ms).filter(known));
  text(byId("sum-now"), millis(now));
  text(byId("sum-first"), first === null ? "" : `${millis(first)} at first`);
  const prefixes = new Set(view.users.map((user) => user.prefix)).size;
  const moved = new Set(view.users.filter((user) => user.site !== view.node).map((user) => user.prefix)).size;
  text(byId("sum-users"), count(prefixes));
  text(byId("sum-moved"), moved > 0 ? `${count(moved)} at copies` : "");
  const copies = view.services.filter((each) => each.role === "copy").length;
  text(byId("sum-copies"), count(copies));
  text(byId("sum-sites"), `${plural(view.sites.length, "site")} known`);
  const sum = (facts, name) => facts.reduce((total, each) => total + each[name], 0);
  text(byId("sum-requests"), count(sum(view.users, "requests")));
  const errors = sum(view.users, "errors");
  text(byId("sum-errors"), errors > 0 ? plural(errors, "error") : "");
  set(byId("sum-errors"), "data-errors", errors > 0);
}

function showLink() {
  const age = line.viewAt === null ? null : (performance.now() - line.viewAt) / 1_000;
  const stale = age !== null && age > STALE_S;
  const state = line.state === "live" && stale ? "stale" : line.state;
  set(document.body, "data-link", state);
  const words = { connecting: "Connecting…", live: "Live", stale: `Nothing new for ${duration(age ?? 0)}`, lost: "Not connected; trying again" };
  text(byId("link-text"), words[state]);
  const warn = state === "lost" || state === "stale";
  set(byId("notice"), "hidden", !warn);
  if (!warn) return;
  text(
    byId("notice"),
    age === null
      ? "This page cannot reach its site. It keeps trying."
      : `What you see is from ${duration(age)} ago. The page keeps trying to reach its site.`,
  );
}
