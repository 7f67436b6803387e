// Where the facts come from: events of this site, and a way back to them when the line is lost.

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;
const QUIET_MS = 8_000; // after so long without a view the page asks for one
const ANSWER_MS = 5_000;

const APPS = 16;
const DECISIONS = 200; // of each app, asked for after a break in the line

/**
 * Follow this site. Calls `onView`, `onDecision` with what it says, and `onLink` with "connecting", "live" or "lost".
 * URLs are relative, so the page works under any prefix.
 */
export function follow({ onView, onDecision, onLink }) {
  let events = null;
  let retryMs = FIRST_RETRY_MS;
  let retry = null;
  let quiet = null;
  let caughtUp = false;

  function connect() {
    caughtUp = false;
    clearTimeout(retry);
    retry = null;
    events?.close();
    events = new EventSource("v1/events");
    events.onopen = () => {
      retryMs = FIRST_RETRY_MS;
      onLink("live");
      listen();
    };
    events.onerror = lose;
    events.addEventListener("view", (event) => take(event.data, seen));
    events.addEventListener("decision", (event) => take(event.data, onDecision));
  }

  function take(data, receive) {
    listen();
    let value;
    try {
      value = JSON.parse(data);
    } catch {
      lose(); // cut off in the middle, or not our site at all: begin afresh
      return;
    }
    receive(value);
  }

  function seen(view) {
    onView(view);
    if (!caughtUp) catchUp(view);
    caughtUp = true;
  }

  // Events tell what happens from now on; what was decided before has to be asked for.
  async function catchUp(view) {
    const apps = [...new Set(view.services.map((each) => each.service.split("/")[0]))].slice(0, APPS);
    const asked = apps.map((app) => fetchJson(`v1/explain/${encodeURIComponent(app)}?limit=${DECISIONS}`));
    for (const answer of await Promise.allSettled(asked)) {
      if (answer.status === "fulfilled") answer.value.forEach(onDecision); // else the next connection asks again
    }
  }

  // EventSource gives up by itself on an HTTP error, so it is never left to retry alone.
  function lose() {
    events.close();
    clearTimeout(quiet);
    onLink("lost");
    if (retry !== null) return;
    retry = setTimeout(connect, retryMs * (0.75 + Math.random() / 2));
    retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
  }

  function listen() {
    clearTimeout(quiet);
    quiet = setTimeout(ask, QUIET_MS);
  }

  // A silent line may be a calm site or a dead one; asking tells which.
  async function ask() {
    try {
      onView(await fetchJson("v1/view"));
      listen();
    } catch {
      lose();
    }
  }

  const now = () => retry !== null && connect();
  addEventListener("online", now);
  document.addEventListener("visibilitychange", () => document.hidden || now());
  addEventListener("pagehide", () => events.close());
  addEventListener("pageshow", (event) => event.persisted && connect());

  onLink("connecting");
  connect();
}

async function fetchJson(url) {
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer.json();
}
