// The lists: users, services and sites.

import { byId, html, keyed, set, text } from "./dom.js";
import { band, clock, count, duration, figure, known, millis, plural, price, serviceName, shortened } from "./format.js";
import { drawSparkline, sparkline, userKey } from "./history.js";

const ROWS = 200; // rows of one list at most

/** A list with named columns whose rows are kept while their facts change. */
class Table {
  #body;
  #columns;

  constructor(frame, caption, columns) {
    this.#columns = columns;
    this.#body = html("tbody", { role: "rowgroup" });
    const heads = columns.map((column) => html("th", { role: "columnheader", scope: "col", class: column.class ?? null }, column.name));
    const head = html("thead", { role: "rowgroup" }, html("tr", { role: "row" }, ...heads));
    frame.append(html("table", { role: "table", "aria-label": caption }, head, this.#body));
  }

  show(rows, key, mark) {
    keyed(
      this.#body,
      rows.slice(0, ROWS),
      key,
      () => html("tr", { role: "row" }, ...this.#columns.map((column) => this.#cell(column))),
      (line, row) => {
        this.#columns.forEach((column, at) => column.fill(line.children[at], row));
        mark(line, row);
      },
    );
  }

  #cell(column) {
    const cell = html("td", { role: "cell", class: column.class ?? null, "data-name": column.name });
    column.make?.(cell);
    return cell;
  }
}

/** Users with what they had at first, what they have now, and the way between. */
export class Users {
  #table;

  constructor(history, onSelect) {
    this.#table = new Table(byId("users-table"), "Users", [
      { name: "Prefix", class: "name", make: pickable(onSelect), fill: fillPick((user) => [user.prefix, user.prefix, user.address]) },
      { name: "Service", class: "quiet service", fill: (cell, user) => text(cell, serviceName(user.service)) },
      { name: "Served by", class: "by", fill: (cell, user) => text(cell, user.siteName) },
      { name: "At first", class: "number first", fill: (cell, user) => text(cell, figure(user.first_rtt_ms)) },
      { name: "Now, ms", class: "number now", fill: fillNow },
      {
        name: "Last minutes",
        class: "trend",
        make: (cell) => cell.append(sparkline()),
        fill: (cell, user) => drawSparkline(cell.firstChild, history.of(user)),
      },
      { name: "Requests", class: "number quiet requests", fill: fillRequests },
    ]);
  }

  show(view, selected) {
    const names = siteNames(view);
    const users = view.users.map((user) => ({ ...user, siteName: names(user.site) }));
    users.sort((one, other) => (other.rtt_ms ?? -1) - (one.rtt_ms ?? -1) || userKey(one).localeCompare(userKey(other)));
    this.#table.show(users, userKey, (line, user) => {
      choose(line, user.prefix === selected);
      set(line, "data-here", user.site === view.node);
    });
    const hidden = users.length - ROWS;
    text(byId("users-count"), hidden > 0 ? `${ROWS} of ${count(users.length)}, slowest first` : users.length > 1 ? "slowest first" : "");
    empty(byId("users-table"), users.length === 0, "No user has come yet.");
  }
}

/** Services at this site and, of those at home here, their copies. */
export class Services {
  #table = new Table(byId("services-table"), "Services", [
    { name: "Service", class: "name", fill: (cell, row) => (text(cell, serviceName(row.service)), set(cell, "title", row.service)) },
    { name: "Site", class: "by", fill: (cell, row) => text(cell, row.site_name) },
    { name: "Role", fill: (cell, row) => badge(cell, row.role) },
    { name: "State", fill: (cell, row) => badge(cell, row.state) },
    { name: "Users", class: "number", fill: (cell, row) => text(cell, count(row.users)) },
    { name: "Requests", class: "number quiet", fill: (cell, row) => text(cell, count(row.requests)) },
    { name: "Since", class: "number quiet", fill: (cell, row) => text(cell, clock(row.since)) },
    { name: "Lease", class: "number", fill: fillLease },
  ]);

  show(view) {
    const rows = view.services.map((row) => ({ ...row, at: view.at }));
    this.#table.show(rows, (row) => `${row.service} ${row.site}`, () => {});
    text(byId("services-count"), rows.length > ROWS ? `${ROWS} of ${count(rows.length)}` : "");
    empty(byId("services-table"), rows.length === 0, "Nothing runs here yet.");
  }
}

const STATES = ["self", "serving", "known", "refused", "unreachable", "left"];

/** Sites known here, those that serve first. */
export class Sites {
  #table;

  constructor(onSelect) {
    this.#table = new Table(byId("sites-table"), "Sites", [
      { name: "Site", class: "name", make: pickable(onSelect), fill: fillPick((site) => [site.node, site.name || shortened(site.node), site.gateway]) },
      { name: "State", fill: fillState },
      { name: "Nearest user", class: "number", fill: (cell, site) => text(cell, millis(site.rtt_ms)) },
      { name: "Price", class: "number", fill: (cell, site) => text(cell, price(site.price_per_hour)) },
      { name: "Region", class: "quiet", fill: (cell, site) => text(cell, site.region || "–") },
      { name: "Found by", class: "quiet", fill: (cell, site) => text(cell, site.sources.join(", ") || "–") },
      { name: "Services", class: "quiet", fill: (cell, site) => text(cell, site.services.map(serviceName).join(", ") || "–") },
    ]);
  }

  show(view, selected) {
    const order = (site) => (STATES.indexOf(site.state) + STATES.length + 1) % (STATES.length + 1);
    const sites = [...view.sites].sort(
      (one, other) => order(one) - order(other) || (one.rtt_ms ?? 1e9) - (other.rtt_ms ?? 1e9) || one.node.localeCompare(other.node),
    );
    this.#table.show(sites, (site) => site.node, (line, site) => choose(line, site.node === selected));
    text(byId("sites-count"), sites.length > ROWS ? `${ROWS} of ${count(sites.length)}` : plural(sites.length, "site"));
    empty(byId("sites-table"), sites.length === 0, "No site is known yet.");
  }
}

// The first cell of a row is a switch that lights the row's paths on the map.
function pickable(onSelect) {
  return (cell) => {
    const button = html("button", { type: "button", "aria-pressed": "false" });
    button.addEventListener("click", () => onSelect(button.picks));
    cell.append(button);
  };
}

function fillPick(facts) {
  return (cell, row) => {
    const [id, name, title] = facts(row);
    const button = cell.firstChild;
    button.picks = id;
    text(button, name);
    set(button, "title", title || null);
  };
}

function choose(line, chosen) {
  set(line, "data-chosen", chosen);
  set(line.firstChild.firstChild, "aria-pressed", chosen ? "true" : "false");
}

function fillNow(cell, user) {
  text(cell, figure(user.rtt_ms));
  set(cell, "data-band", band(user.rtt_ms));
}

function fillRequests(cell, user) {
  text(cell, user.errors > 0 ? `${count(user.requests)} (${plural(user.errors, "error")})` : count(user.requests));
  set(cell, "data-errors", user.errors > 0);
}

function fillLease(cell, row) {
  if (!known(row.lease_ends_at)) {
    text(cell, "–");
    return;
  }
  const left = row.lease_ends_at - row.at;
  text(cell, left > 0 ? `${duration(left)} left` : `ended ${duration(-left)} ago`);
  set(cell, "data-ended", left <= 0);
}

function fillState(cell, site) {
  badge(cell, site.state);
  set(cell, "title", known(site.absent_since) ? `since ${clock(site.absent_since)}` : null);
}

function badge(cell, word) {
  if (!cell.firstChild) cell.append(html("span", { class: "badge" }));
  text(cell.firstChild, word === "self" ? "this site" : word);
  set(cell.firstChild, "data-word", word);
}

function empty(frame, isEmpty, words) {
  set(frame, "data-empty", isEmpty ? words : null);
}

/** Names of sites by their ids, and by the addresses of what they serve, as this view knows them. */
export function siteNames(view) {
  const names = new Map(view.sites.map((site) => [site.node, site.name]));
  names.set(view.node, names.get(view.node) || view.name);
  const gateways = view.sites.filter((site) => site.gateway && site.name).map((site) => [`${site.gateway}/`, site.name]);
  const serving = (text) => gateways.find(([gateway]) => text.startsWith(gateway))?.[1];
  return (id) => names.get(id) || serving(id) || shortened(id);
}
