// The drawing of the tree: this site at the left, users at the right, and who serves whom.

import { byId, html, keyed, set, svg, text } from "./dom.js";
import { BANDS, band, clock, figure, known, millis, plural, price, serviceName } from "./format.js";
import { userKey } from "./history.js";
import { LABEL_ROW, curve, layOut, way } from "./layout.js";

const FRESH_MS = 2_500; // how long a new link stands out
const MOVING_FLOWS = 60; // links that are animated at most; more would only flicker

/** Draws views into `frame`; tells `onSelect` which prefix or site was pointed at with a click. */
export class TreeMap {
  #frame;
  #drawing;
  #layers;
  #tip;
  #view = null;
  #all = null;
  #selected = null;
  #servers = new Map();
  #plan = null;

  constructor(frame, onSelect) {
    this.#frame = frame;
    this.#layers = Object.fromEntries(["grid", "lines", "flows", "points"].map((name) => [name, svg("g", { class: name })]));
    this.#drawing = svg("svg", { role: "img" }, ...Object.values(this.#layers));
    this.#tip = html("div", { class: "tip", hidden: true });
    frame.append(this.#drawing, this.#tip);
    drawLegend(byId("legend"));
    this.#layers.points.addEventListener("click", (event) => onSelect(targetOf(event)));
    this.#layers.points.addEventListener("pointerover", (event) => this.#showTip(event));
    this.#layers.points.addEventListener("pointerout", () => set(this.#tip, "hidden", true));
    new ResizeObserver(() => this.#view && this.#draw()).observe(frame);
  }

  /** Draw `view`, of which only the chosen service's users are left; `all` has everyone's. */
  show(view, all, selected) {
    this.#view = view;
    this.#all = all;
    this.#selected = selected;
    this.#draw();
  }

  #draw() {
    const width = Math.max(280, Math.floor(this.#frame.clientWidth));
    const plan = layOut(this.#view, width);
    this.#plan = plan;
    set(this.#drawing, "width", plan.width);
    set(this.#drawing, "height", plan.height);
    set(this.#drawing, "viewBox", `0 0 ${plan.width} ${plan.height}`);
    set(this.#drawing, "aria-label", summary(this.#view, plan));
    const lit = reach(plan, this.#selected);
    set(this.#drawing, "data-selecting", lit.size > 0);
    this.#drawGrid(plan);
    this.#drawLines(plan, lit);
    this.#drawFlows(plan, lit);
    this.#drawPoints(plan, lit);
    text(byId("map-note"), note(this.#view, plan));
  }

  #drawGrid(plan) {
    keyed(
      this.#layers.grid,
      [{ ms: 0, x: this.#plan.points[0].x }, ...plan.ticks],
      (tick) => tick.ms,
      (tick) => svg("g", {}, svg("line"), svg("text", { "text-anchor": "middle" }, tick.ms === 0 ? "0" : `${tick.ms}`)),
      (group, tick) => {
        const [line, label] = group.children;
        set(line, "x1", tick.x);
        set(line, "x2", tick.x);
        set(line, "y1", 4);
        set(line, "y2", plan.axis + 4);
        set(label, "x", tick.x);
        set(label, "y", plan.axis + 19);
        text(label, tick === plan.ticks.at(-1) ? `${tick.ms} ms` : tick.ms);
      },
    );
  }

  #drawLines(plan, lit) {
    keyed(
      this.#layers.lines,
      plan.lines,
      (point) => point.id,
      () => svg("path"),
      (path, point) => {
        shape(path, curve([point.parent, point]));
        set(path, "data-kind", point.untraced ? "loose" : "traced");
        set(path, "data-lit", lit.has(point.id) && lit.has(point.parent.id));
        set(path, "stroke-width", (1 + Math.log2(1 + point.weight) * 0.35).toFixed(2));
      },
    );
  }

  #drawFlows(plan, lit) {
    set(this.#layers.flows, "data-still", plan.flows.length > MOVING_FLOWS);
    keyed(
      this.#layers.flows,
      plan.flows,
      (flow) => `${userKey(flow.user)} ${flow.user.site}`,
      (flow) => this.#newFlow(flow),
      (path, flow) => {
        shape(path, way(flow));
        set(path, "data-band", band(flow.user.rtt_ms));
        set(path, "data-lit", lit.has(flow.from.id) && lit.has(flow.to.id));
      },
    );
    this.#servers = new Map(plan.flows.map((flow) => [userKey(flow.user), flow.user.site]));
  }

  // A link to another site than before stands out for a moment.
  #newFlow(flow) {
    const before = this.#servers.get(userKey(flow.user));
    const path = svg("path");
    if (before !== undefined && before !== flow.user.site) {
      path.classList.add("fresh");
      setTimeout(() => path.classList.remove("fresh"), FRESH_MS);
    }
    return path;
  }

  #drawPoints(plan, lit) {
    const labelled = labels(plan, lit);
    keyed(
      this.#layers.points,
      plan.points,
      (point) => point.id,
      (point) => svg("g", { class: "point" }, mark(point.kind), svg("text", { "text-anchor": point.kind === "here" ? "start" : null })),
      (group, point) => {
        group.point = point;
        group.style.transform = `translate(${point.x}px, ${point.y}px)`;
        set(group, "data-kind", point.kind);
        set(group, "data-state", point.state);
        set(group, "data-band", point.kind === "prefix" ? band(worst(plan.users.get(point.id))) : null);
        set(group, "data-small", plan.row < LABEL_ROW);
        set(group, "data-lit", lit.has(point.id));
        const label = group.lastChild;
        set(label, "x", point.kind === "here" ? -8 : 11);
        set(label, "y", point.kind === "here" ? 24 : 4);
        text(label, labelled.get(point.id) ?? "");
      },
    );
  }

  #showTip(event) {
    const group = event.target.closest(".point");
    if (!group) return;
    const { point } = group;
    this.#tip.replaceChildren(...describe(point, this.#plan, this.#all));
    set(this.#tip, "hidden", false);
    const room = this.#frame.clientWidth - this.#tip.offsetWidth - 8;
    this.#tip.style.left = `${Math.max(4, Math.min(point.x + 14, room))}px`;
    const below = point.y + 14;
    const fits = below + this.#tip.offsetHeight < this.#plan.height;
    this.#tip.style.top = `${fits ? below : Math.max(4, point.y - this.#tip.offsetHeight - 12)}px`;
  }
}

// Where the style knows how to move from one shape to the next, let it; elsewhere the attribute does.
const MOVES = CSS.supports("d", 'path("M0 0")');
function shape(path, data) {
  if (path.shape === data) return;
  path.shape = data;
  if (MOVES) path.style.setProperty("d", `path("${data}")`);
  else path.setAttribute("d", data);
}

function mark(kind) {
  if (kind === "here") return svg("rect", { x: -9, y: -9, width: 18, height: 18, rx: 5 });
  if (kind === "site") return svg("rect", { x: -5.5, y: -5.5, width: 11, height: 11, rx: 3 });
  return svg("circle", { r: kind === "prefix" ? 5 : 2.2 });
}

function targetOf(event) {
  const point = event.target.closest(".point")?.point;
  if (!point) return null;
  if (point.kind === "prefix") return point.id;
  return point.site ?? null;
}

// What lights up with a selection: the paths of the users selected, or of the users of the site selected.
function reach(plan, selected) {
  const lit = new Set();
  if (selected === null) return lit;
  for (const flow of plan.flows) {
    if (flow.user.prefix !== selected && flow.to.site !== selected) continue;
    for (const point of flow.path) lit.add(point.id);
    for (let at = flow.from; at !== null && flow.user.prefix === selected; at = at.parent) lit.add(at.id);
  }
  for (const point of plan.points) if (point.site === selected || point.id === selected) lit.add(point.id);
  return lit;
}

// In a dense drawing only what serves users, and what is selected, is named, and only where there is room.
function labels(plan, lit) {
  const named = new Map();
  const wanted = plan.points.filter((point) => point.kind !== "router");
  if (plan.row >= LABEL_ROW) {
    for (const point of wanted) named.set(point.id, clipped(point.label, plan.width));
    return named;
  }
  for (const point of wanted.filter((each) => each.apart)) named.set(point.id, clipped(point.label, plan.width));
  const rank = (point) => (point.kind === "here" ? 0 : lit.has(point.id) ? 1 : point.state === "serving" ? 2 : 9);
  const taken = [];
  for (const point of wanted.filter((each) => rank(each) < 9 && !each.apart).sort((one, other) => rank(one) - rank(other))) {
    if (taken.some((other) => Math.abs(other.y - point.y) < 12 && Math.abs(other.x - point.x) < 110)) continue;
    if (point.kind !== "here") taken.push(point);
    named.set(point.id, clipped(point.label, plan.width));
  }
  return named;
}

function clipped(label, width) {
  const most = width < 520 ? 14 : 18;
  return label.length > most ? `${label.slice(0, most - 1)}…` : label;
}

function worst(users) {
  const figures = (users ?? []).map((user) => user.rtt_ms).filter(known);
  return figures.length > 0 ? Math.max(...figures) : null;
}

function describe(point, plan, view) {
  const rows = [html("b", {}, point.label)];
  const add = (line) => rows.push(html("span", {}, line));
  if (point.kind === "here") add("this site");
  if (known(point.rttMs) && point.kind !== "here") add(`${millis(point.rttMs)} from here`);
  if (point.kind === "router") add("router");
  if (point.kind === "prefix") {
    for (const user of plan.users.get(point.id) ?? []) {
      const site = view.sites.find((each) => each.node === user.site);
      add(`${serviceName(user.service)}: ${millis(user.rtt_ms)} from ${site?.name ?? "a site not known here"}, ${figure(user.first_rtt_ms)} at first`);
    }
  }
  const site = point.site && view.sites.find((each) => each.node === point.site);
  if (site) {
    const users = view.users.filter((user) => user.site === site.node).length;
    add(`${site.state === "self" ? "" : `${site.state}${known(site.absent_since) ? ` since ${clock(site.absent_since)}` : ""}, `}${price(site.price_per_hour)}, ${plural(users, "user prefix", "user prefixes")}`);
    if (known(site.rtt_ms)) add(`${millis(site.rtt_ms)} to the nearest user measured`);
  }
  return rows;
}

function summary(view, plan) {
  const serving = plan.points.filter((point) => point.state === "serving").length;
  const routers = plan.points.filter((point) => point.kind === "router").length;
  return (
    `Tree of routes from ${view.name}: ${plural(routers, "router")}, ${plural(plan.users.size, "user prefix", "user prefixes")}, ` +
    `${plural(serving, "other site")} serving. The tables below give the same facts.`
  );
}

function note(view, plan) {
  const parts = ["Distance from the left is the round trip from this site; colour is what users have now."];
  if (plan.hidden > 0) parts.push(`${plural(plan.hidden, "quieter prefix", "quieter prefixes")} not drawn.`);
  const drawn = new Set(plan.points.map((point) => point.site));
  const off = view.sites.filter((site) => !drawn.has(site.node)).length;
  if (plan.points.some((point) => point.apart)) parts.push("At the foot: sites on no path traced from here.");
  if (off > 0) parts.push(`${plural(off, "more site")} not drawn.`);
  return parts.join(" ");
}

function drawLegend(legend) {
  const swatch = (attributes, label) => html("span", {}, html("i", attributes), label);
  legend.append(
    ...BANDS.map((each) => swatch({ "data-band": each.id }, each.label)),
    swatch({ "data-site": "serving" }, "serving"),
    swatch({ "data-site": "known" }, "known"),
    swatch({ "data-site": "refused" }, "refused"),
    swatch({ "data-site": "router" }, "router"),
  );
}
