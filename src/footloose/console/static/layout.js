// From what a site sees to where things stand on the map. Pure: no page, no clock.
//
// The map reads from left to right: this site, then everything else at its round trip from here, on a square-root scale
// (near things need the room). From top to bottom each leaf of the tree has one row.

import { known } from "./format.js";

export const PREFIXES = 300; // prefixes drawn at most, the busiest first
const LEFT = 26;
const TOP = 14;
const AXIS = 30;
const ROW = { least: 3.2, most: 30 };
const HEIGHT = { least: 230, most: 560 };
const ROWS = { prefix: 1, site: 1, router: 0.4, here: 1 }; // a router that leads nowhere needs little room
export const LABEL_ROW = 11; // in lower rows there is no room for a label each
const TICKS = [1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000, 5000];
const TICK_GAP = 46;
const STRIP = 22; // height of a row of sites apart
const APART = 60; // sites apart drawn at most

/**
 * Lay out a view for a drawing `width` pixels wide.
 * Points have `x`, `y`, `kind` ("here", "router", "prefix", "site"); lines lead from a parent to a point;
 * flows lead from a user to the site serving it, through the points of the tree between them.
 */
export function layOut(view, width) {
  const users = usersByPrefix(view.users);
  const root = tree(view, users);
  const shown = prune(root, users);
  const apart = hangSites(root, view);
  measure(root, users);
  const rows = stand(root);
  const row = Math.min(ROW.most, Math.max(ROW.least, (HEIGHT.most - TOP - AXIS) / Math.max(rows, 1)));
  const right = width < 520 || row < LABEL_ROW ? 96 : 124;
  const height = Math.round(Math.max(HEIGHT.least, TOP + AXIS + row * rows));
  const offset = (height - TOP - AXIS - row * rows) / 2;
  const onTree = walk(root);
  const farthest = Math.max(10, ...onTree.map((point) => point.far));
  const scale = (ms) => LEFT + Math.sqrt(Math.max(0, ms) / farthest) * (width - LEFT - right);
  for (const point of onTree) {
    point.x = Math.round(scale(point.far));
    point.y = Math.round((TOP + offset + point.row * row) * 2) / 2;
  }
  const strip = lineUp(apart, width, height);
  const points = [...onTree, ...apart.slice(0, APART)];
  return {
    points,
    lines: points.filter((point) => point.parent !== null),
    flows: flows(points, view.users),
    ticks: ticks(scale, farthest),
    width,
    height: height + strip,
    row,
    axis: height - AXIS,
    hidden: users.size - shown,
    users,
  };
}

function usersByPrefix(users) {
  const grouped = new Map();
  for (const user of users) {
    if (!grouped.has(user.prefix)) grouped.set(user.prefix, []);
    grouped.get(user.prefix).push(user);
  }
  return grouped;
}

function point(id, kind, label, parent, rttMs) {
  return { id, kind, label, parent, rttMs, sites: [], children: [], x: 0, y: 0, row: 0, far: 0, weight: 0 };
}

// The tree as given, made safe to walk: one root, no cycles, nothing left hanging.
function tree(view, users) {
  const given = new Map(view.nodes.map((node) => [node.id, node]));
  const rootNode = view.nodes.find((node) => node.parent === null) ?? { id: view.node, label: view.name };
  const root = point(rootNode.id, "here", rootNode.label || view.name, null, 0);
  const points = new Map([[root.id, root]]);
  for (const node of given.values()) {
    if (node.id === root.id) continue;
    const made = point(node.id, node.kind === "prefix" ? "prefix" : "router", node.label, null, node.rtt_ms);
    made.sites = node.sites;
    points.set(node.id, made);
  }
  for (const prefix of users.keys()) {
    if (!points.has(prefix)) points.set(prefix, point(prefix, "prefix", prefix, null, null));
  }
  for (const child of points.values()) {
    if (child === root) continue;
    const parent = points.get(given.get(child.id)?.parent) ?? root;
    child.parent = leadsTo(parent, child) ? root : parent;
    child.untraced = child.parent === root && !given.has(child.id);
    child.parent.children.push(child);
  }
  return root;
}

function leadsTo(from, goal) {
  for (let at = from; at !== null; at = at.parent) if (at === goal) return true;
  return false;
}

// Too many prefixes for a drawing: the busiest stay, and the routers that lead to them. Returns how many users' prefixes stay.
function prune(root, users) {
  const prefixes = walk(root).filter((each) => each.kind === "prefix");
  if (prefixes.length <= PREFIXES) return users.size;
  const requests = (each) => (users.get(each.id) ?? []).reduce((sum, user) => sum + user.requests, 0);
  prefixes.sort((one, other) => requests(other) - requests(one));
  const kept = new Set(prefixes.slice(0, PREFIXES));
  keep(root, kept);
  return [...kept].filter((each) => users.has(each.id)).length;
}

function keep(at, kept) {
  at.children = at.children.filter((child) => keep(child, kept));
  return at.children.length > 0 || kept.has(at);
}

// A site hangs at the router it was found under. Returns those found under none of the tree's.
function hangSites(root, view) {
  const routers = new Map();
  for (const router of walk(root)) {
    for (const id of router.sites) if (!routers.has(id) || depth(router) > depth(routers.get(id))) routers.set(id, router);
  }
  const serving = new Set(view.users.map((user) => user.site));
  root.site = view.node;
  root.state = "self";
  const apart = [];
  for (const site of view.sites) {
    if (site.node === view.node) continue;
    const parent = routers.get(site.node) ?? null;
    const made = point(`site ${site.node}`, "site", site.name, parent, null);
    made.site = site.node;
    made.state = site.state === "known" && serving.has(site.node) ? "serving" : site.state;
    made.apart = parent === null;
    (parent?.children ?? apart).push(made);
  }
  return apart.sort((one, other) => (other.state === "serving") - (one.state === "serving") || compare(one.label, other.label));
}

const depth = (at) => (at.parent === null ? 0 : 1 + depth(at.parent));

// Places sites in rows below a drawing so high; returns how much it grows by.
function lineUp(apart, width, height) {
  let x = LEFT;
  let y = height + STRIP / 2;
  for (const site of apart.slice(0, APART)) {
    const needed = 34 + Math.min(site.label.length, 18) * 7;
    if (x > LEFT && x + needed > width) {
      x = LEFT;
      y += STRIP;
    }
    Object.assign(site, { x, y });
    x += needed;
  }
  return apart.length > 0 ? y + STRIP / 2 - height : 0;
}

// How far each point is drawn: at its round trip, but never nearer than what lies before it, since jitter may say so.
function measure(root, users) {
  for (const at of walk(root)) {
    if (at.parent === null) continue;
    const own = at.rttMs ?? (at.kind === "prefix" ? firstRtt(users.get(at.id)) : null);
    const step = at.kind === "site" ? 0 : 0.05;
    at.far = Math.max(at.parent.far + step, own ?? at.parent.far + 10 * step);
  }
}

function firstRtt(users) {
  const figures = (users ?? []).map((user) => user.first_rtt_ms ?? user.rtt_ms).filter(known);
  return figures.length > 0 ? Math.min(...figures) : null;
}

// Rows from top to bottom; a parent stands in the middle of its children. Returns how many rows there are.
const ORDER = { site: 0, prefix: 1, router: 2, here: 3 };

function stand(root) {
  let rows = 0;
  const order = walk(root).reverse(); // children before parents
  for (const at of order) {
    at.weight = at.kind === "prefix" ? 1 : at.children.reduce((sum, child) => sum + child.weight, 0);
    at.children.sort((one, other) => ORDER[one.kind] - ORDER[other.kind] || compare(one.id, other.id));
  }
  const place = (at) => {
    if (at.children.length === 0) {
      at.row = rows + ROWS[at.kind] / 2;
      rows += ROWS[at.kind];
    } else {
      at.children.forEach(place);
      at.row = (at.children[0].row + at.children.at(-1).row) / 2;
    }
  };
  place(root);
  return rows;
}

const PARTS = new Intl.Collator("en", { numeric: true });
const compare = (one, other) => PARTS.compare(one, other);

// All points, parents before children.
function walk(root) {
  const points = [root];
  for (let at = 0; at < points.length; at++) points.push(...points[at].children);
  return points;
}

function flows(points, users) {
  const bySite = new Map(points.filter((each) => each.site).map((each) => [each.site, each]));
  const byPrefix = new Map(points.filter((each) => each.kind === "prefix").map((each) => [each.id, each]));
  return users.flatMap((user) => {
    const from = byPrefix.get(user.prefix);
    const to = bySite.get(user.site);
    return from && to ? [{ user, from, to, path: between(from, to) }] : [];
  });
}

/** The points from one to the other along the tree. A site apart from it is reached straight. */
function between(from, to) {
  if (to.apart) return [from, to];
  const up = [];
  for (let at = from; at !== null; at = at.parent) up.push(at);
  const down = [];
  let at = to;
  while (!up.includes(at)) {
    down.unshift(at);
    at = at.parent;
  }
  return [...up.slice(0, up.indexOf(at) + 1), ...down];
}

function ticks(scale, farthest) {
  const chosen = [];
  let last = scale(0);
  for (const ms of TICKS) {
    if (ms > farthest) break;
    const x = Math.round(scale(ms));
    if (x - last < TICK_GAP) continue;
    chosen.push({ ms, x });
    last = x;
  }
  return chosen;
}

/** The way of a flow: along the tree, or down to a site apart from it. */
export function way({ from, to, path }) {
  if (!to.apart) return curve(path);
  const middle = (from.y + to.y) / 2;
  return `M${from.x} ${from.y}C${from.x} ${middle} ${to.x} ${middle} ${to.x} ${to.y}`;
}

/** A smooth line through points: level at each of them, as the lines of the tree are. */
export function curve(path) {
  const [start, ...rest] = path;
  let data = `M${start.x} ${start.y}`;
  let last = start;
  for (const next of rest) {
    const middle = (last.x + next.x) / 2;
    data += `C${middle} ${last.y} ${middle} ${next.y} ${next.x} ${next.y}`;
    last = next;
  }
  return data;
}
