// Figures and names as people read them.

/** Latency in bands of colour; the figure itself is always written beside the colour. */
export const BANDS = [
  { id: "near", upTo: 20, label: "up to 20 ms" },
  { id: "fair", upTo: 50, label: "50" },
  { id: "far", upTo: 100, label: "100" },
  { id: "distant", upTo: Infinity, label: "more" },
];

/** The band a latency belongs to, or "unknown". */
export function band(ms) {
  if (!known(ms)) return "unknown";
  return BANDS.find((each) => ms <= each.upTo).id;
}

/** Whether a figure was given. */
export const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Milliseconds without their unit: one digit after the point below ten, two below one. */
export function figure(ms) {
  if (!known(ms)) return "–";
  if (ms < 0.995) return ms.toFixed(2);
  return ms < 9.95 ? ms.toFixed(1) : String(Math.round(ms));
}

/** Milliseconds with their unit. */
export const millis = (ms) => (known(ms) ? `${figure(ms)} ms` : "–");

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 1, notation: "compact" });
/** A count, shortened from a thousand on. */
export const count = (value) => COUNT.format(value);

/** `1 user`, `2 users`. */
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** A length of time in seconds, in its greatest unit. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 100) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  if (whole < 129600) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86400)} d`;
}

/** Time of day of a moment in seconds since 1970. */
export function clock(at) {
  const moment = new Date(at * 1000);
  if (Number.isNaN(moment.getTime())) return "–";
  return [moment.getHours(), moment.getMinutes(), moment.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** A price per hour. The unit is the providers' own, so none is written. */
export function price(perHour) {
  if (!known(perHour) || perHour === 0) return "free";
  return `${perHour.toLocaleString("en", { maximumSignificantDigits: 3 })}/h`;
}

const OWNER = /-[a-z2-7]{16}(?=\/|$)/;
/** A service without its owner's key: `pulse/web` for `pulse-<key>/web`. */
export const serviceName = (service) => service.replace(OWNER, "");

const NODE = /^[a-z2-7]{52}$/;
/** A node id as people read it, other text as it is. */
export const shortened = (text) => (NODE.test(text) ? `${text.slice(0, 8)}…` : text);

/** The middle of some figures. */
export function median(figures) {
  if (figures.length === 0) return null;
  const sorted = [...figures].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
