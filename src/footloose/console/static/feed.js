// Where the facts come from: events of this site, and a way back to them when the line is lost.

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;
const QUIET_MS = 8_000; // after so long without a view the page asks for one
const ANSWER_MS = 5_000;

/**
 * Follow this site. Calls `onView`, `onDecision` with what it says, and `onLink` with "connecting", "live" or "lost".
 * URLs are relative, so the page works under any prefix.
 */
export function follow({ onView, onDecision, onLink }) {
  let events = null;
  let retryMs = FIRST_RETRY_MS;
  let retry = null;
  let quiet = null;

  function connect() {
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
    events.addEventListener("view", (event) => take(event.data, onView));
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
      onView(await fetchView());
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

async function fetchView() {
  const answer = await fetch("v1/view", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
  if (!answer.ok) throw new Error(`v1/view answered ${answer.status}`);
  return answer.json();
}
