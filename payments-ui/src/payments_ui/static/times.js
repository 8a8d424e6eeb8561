// Shows every <time> in local time; the exact UTC stays in its title.
const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hour12: false,
});
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dateAndYear = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  year: "numeric",
});
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
  if (style === "clock") return clock.format(at);
  if (style === "ago") return ago(at);
  const today = new Date();
  if (at.getFullYear() !== today.getFullYear())
    return `${dateAndYear.format(at)}, ${clock.format(at)}`;
  if (style === "short" && at.toDateString() === today.toDateString()) return clock.format(at);
  return `${date.format(at)}, ${clock.format(at)}`;
}

function show(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const shown = text(at, element.dataset.style);
  if (element.textContent !== shown) element.textContent = shown;
}

const showAll = (root) => root.querySelectorAll("time").forEach(show);

showAll(document);
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const zoneText = document.getElementById("zone");
if (zoneText) zoneText.textContent = `your time zone (${zone})`;

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
