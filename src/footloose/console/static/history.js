// The last minutes of each user's latency, as this page saw them, and their small drawing.

import { band, known } from "./format.js";
import { set, svg } from "./dom.js";

const SPAN_S = 300;
const SAMPLES = 240;
const USERS = 1_000;
const WIDTH = 96;
const HEIGHT = 26;
const PAD = 3;

export const userKey = (user) => `${user.service} ${user.prefix}`;

/** Remembers samples `[at, ms]` by user, the oldest users and samples going first. */
export class History {
  #samples = new Map();

  add(view) {
    for (const user of view.users) {
      if (!known(user.rtt_ms)) continue;
      const key = userKey(user);
      let samples = this.#samples.get(key);
      if (!samples) this.#samples.set(key, (samples = known(user.first_rtt_ms) ? [[view.at, user.first_rtt_ms]] : []));
      if (samples.length > 1 && view.at - samples.at(-1)[0] < SPAN_S / SAMPLES) continue;
      samples.push([view.at, user.rtt_ms]);
      while (samples.length > SAMPLES || samples[0][0] < view.at - SPAN_S) samples.shift();
    }
    for (const key of this.#samples.keys()) {
      if (this.#samples.size <= USERS) break;
      this.#samples.delete(key);
    }
  }

  of(user) {
    return this.#samples.get(userKey(user)) ?? [];
  }
}

/** An empty small drawing, for `drawSparkline` to fill. */
export function sparkline() {
  return svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" },
    svg("path", { class: "area" }),
    svg("path", { class: "line" }),
    svg("circle", { r: 2.4 }),
  );
}

/** Latency against time, from zero up, so that heights can be compared by eye. */
export function drawSparkline(drawing, samples) {
  const [area, line, dot] = drawing.children;
  if (samples.length < 2) {
    for (const part of [area, line]) set(part, "d", null);
    set(dot, "cx", -9);
    return;
  }
  const now = samples.at(-1)[0];
  const span = Math.max(now - samples[0][0], SPAN_S / 10);
  const top = Math.max(...samples.map(([, ms]) => ms), 1);
  const points = samples.map(([at, ms]) => [
    WIDTH - PAD - ((now - at) / span) * (WIDTH - 2 * PAD),
    HEIGHT - PAD - (ms / top) * (HEIGHT - 2 * PAD),
  ]);
  const path = `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;
  const [startX] = points[0];
  const [endX, endY] = points.at(-1);
  set(line, "d", path);
  set(area, "d", `${path}L${endX.toFixed(1)} ${HEIGHT}L${startX.toFixed(1)} ${HEIGHT}Z`);
  set(dot, "cx", endX.toFixed(1));
  set(dot, "cy", endY.toFixed(1));
  set(drawing, "data-band", band(samples.at(-1)[1]));
}
