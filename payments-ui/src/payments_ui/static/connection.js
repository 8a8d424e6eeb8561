// Shows whether the page is up to date, and refetches its content when it may be out of date.
//
// live          connected, and the page's server is connected to payments-api's stream
// behind        connected, but payments-api does not answer
// reconnecting  this page has lost its own connection
const SILENCE_MS_MAX = 25_000; // The server sends a beat every 10 s.
const RETRY_MS = [1000, 4000]; // A random time between these, so that pages do not reconnect in step.
const SETTLE_MS = 1500; // A shorter interruption shows no banner.
const TEXT = {
  live: "Live",
  behind: "Behind",
  reconnecting: "Reconnecting",
  connecting: "Connecting",
};
const REASON = {
  behind: "The payments service is not answering. This page updates as soon as it does.",
  reconnecting: "The connection to the page's server is lost. The page reconnects by itself.",
};

const root = document.documentElement;
const source = document.getElementById("live");
const banner = document.getElementById("behind");
const between = ([low, high]) => low + Math.random() * (high - low);
let connection = null;
let heardAt = Date.now();
let behindSince = null;
let refetchTimer = null;

function setState(state) {
  const was = root.dataset.connection;
  root.dataset.connection = state;
  document.getElementById("connection-text").textContent = TEXT[state];
  if (state === "live") {
    behindSince = null;
    banner.hidden = true;
    // Fetch missed changes; a new page's first connection cannot have missed any.
    if (was === "behind" || was === "reconnecting") refetch();
  } else if (state !== "connecting") {
    behindSince ??= new Date();
  }
}

function showBanner() {
  const reason = REASON[root.dataset.connection];
  if (!reason || !behindSince || Date.now() - behindSince < SETTLE_MS) return;
  const at = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hour12: false }).format(
    behindSince,
  );
  const shown = `Last update at ${at}. ${reason}`;
  const text = document.getElementById("behind-text");
  if (text.textContent !== shown) text.textContent = shown;
  banner.hidden = false;
}

/** Refetch every part of the page, at most once a second. */
function refetch() {
  refetchTimer ??= setTimeout(
    () => {
      refetchTimer = null;
      document.body.dispatchEvent(new CustomEvent("refetch"));
    },
    between([50, 1000]),
  );
}

function retry() {
  setState("reconnecting");
  setTimeout(() => source.dispatchEvent(new CustomEvent("live:retry")), between(RETRY_MS));
}

if (source) {
  setState("connecting");
  source.addEventListener("htmx:sse:after:connection", (event) => {
    connection = event.detail.connection;
    heardAt = Date.now();
  });
  source.addEventListener("htmx:sse:before:message", () => {
    heardAt = Date.now();
  });
  source.addEventListener("htmx:sse:before:connection", (event) => {
    if (event.detail.connection.attempt > 0 && !document.hidden) setState("reconnecting");
  });
  source.addEventListener("htmx:sse:error", () => setState("reconnecting"));
  // The extension repeats later requests only, and the first one may fail too.
  source.addEventListener("htmx:error", retry);
  source.addEventListener("htmx:response:error", (event) => {
    // The session has ended: reloading leads to the sign-in page.
    if (event.detail.ctx?.response?.status === 401) location.reload();
    else retry();
  });
  source.addEventListener("state", (event) => setState(event.detail.data));
  source.addEventListener("resync", refetch);

  setInterval(() => {
    showBanner();
    // A connection may die without an event: close it, and the extension reconnects.
    if (connection?.reader && !document.hidden && Date.now() - heardAt > SILENCE_MS_MAX) {
      heardAt = Date.now();
      connection.reader.cancel();
    }
  }, 500);
}

// An error page reloads once its address answers again, and does not interrupt a reader before.
if (document.querySelector("[data-retry]")) {
  setInterval(async () => {
    const answer = await fetch(location.href, { headers: { "Payments-Background": "1" } }).catch(
      () => null,
    );
    if (answer && answer.status < 500) location.reload();
  }, 5000);
}

// Parts that depend on the time, or that the API could not fill, refetch periodically.
setInterval(() => {
  if (root.dataset.connection === "live" && document.querySelector("[data-incomplete]")) refetch();
  if (
    !document.hidden &&
    document.querySelector("[data-tick]") &&
    !document.getElementById("dialog").open
  ) {
    document.body.dispatchEvent(new CustomEvent("tick"));
  }
}, 3000);
