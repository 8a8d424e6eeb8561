// Shows every <time> in the reader's zone or in UTC, by a switch; exact UTC stays in its title.
const ZONE = "payments.zone";
const root = document.documentElement;
let formats = null;

function remembered() {
  try {
    return localStorage.getItem(ZONE);
  } catch {
    return null; // Storage is unavailable: the choice lasts as long as the page.
  }
}

function useZone(zone) {
  root.dataset.zone = zone;
  const timeZone = zone === "utc" ? "UTC" : undefined;
  const format = (options) => new Intl.DateTimeFormat(undefined, { timeZone, ...options });
  const day = { day: "numeric", month: "short" };
  formats = {
    clock: format({ hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }),
    date: format(day),
    dateAndYear: format({ ...day, year: "numeric" }),
  };
}

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "always", style: "short" });

function ago(at) {
  const seconds = Math.max(0, Math.round((Date.now() - at) / 1000));
  if (seconds < 2) return "just now";
  if (seconds < 60) return relative.format(-seconds, "second");
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86400) return relative.format(-Math.floor(seconds / 3600), "hour");
  return relative.format(-Math.floor(seconds / 86400), "day");
}

function text(at, style) {
  const { clock, date, dateAndYear } = formats;
  const suffix = root.dataset.zone === "utc" ? " UTC" : "";
  if (style === "clock") return clock.format(at) + suffix;
  if (style === "ago") return ago(at);
  const day = dateAndYear.format(at);
  const today = dateAndYear.format(new Date());
  if (style === "short" && day === today) return clock.format(at);
  const sameYear = day.match(/\d{4}/)?.[0] === today.match(/\d{4}/)?.[0];
  const shown = `${(sameYear ? date : dateAndYear).format(at)}, ${clock.format(at)}`;
  return style === "short" ? shown : shown + suffix;
}

function show(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const shown = text(at, element.dataset.style);
  if (element.textContent !== shown) element.textContent = shown;
}

const showAll = (part) => part.querySelectorAll("time").forEach(show);

function showZone() {
  showAll(document);
  const utc = root.dataset.zone === "utc";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zoneText = document.getElementById("zone");
  if (zoneText) zoneText.textContent = utc ? "UTC" : `your time zone (${zone})`;
  for (const button of document.querySelectorAll("[data-zone].choice")) {
    button.setAttribute("aria-pressed", String(button.dataset.zone === root.dataset.zone));
  }
}

useZone(remembered() === "utc" ? "utc" : "local");
showZone();

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-zone].choice");
  if (!button) return;
  useZone(button.dataset.zone);
  showZone();
  try {
    localStorage.setItem(ZONE, button.dataset.zone);
  } catch {
    // Storage is unavailable: the choice lasts as long as the page.
  }
  document.dispatchEvent(new CustomEvent("zonechange"));
});

// Rows and fragments arrive at any time; a morph may restore the UTC text.
new MutationObserver((changes) => {
  const touched = new Set();
  for (const change of changes) {
    if (change.target.nodeName === "TIME") touched.add(change.target);
    if (change.target.parentElement?.nodeName === "TIME") touched.add(change.target.parentElement);
    for (const node of change.addedNodes) {
      if (node.nodeName === "TIME") touched.add(node);
      else node.querySelectorAll?.("time").forEach((time) => touched.add(time));
    }
  }
  touched.forEach(show);
}).observe(document.body, { childList: true, subtree: true, characterData: true });

setInterval(() => document.querySelectorAll("time[data-style=ago]").forEach(show), 5000);
