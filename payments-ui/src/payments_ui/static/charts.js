// Shows the figures under the pointer.
function nearest(points, x) {
  let best = null;
  for (const point of points) {
    const distance = Math.abs(Number(point.dataset.x) - x);
    if (!best || distance < best.distance) best = { point, distance };
  }
  return best?.point;
}

/** A balance stays until the next posting: the point is the last one at or before x. */
function before(points, x) {
  let last = points[0];
  for (const point of points) if (Number(point.dataset.x) <= x) last = point;
  return last;
}

function add(plot, name) {
  const element = document.createElement("div");
  element.className = name;
  plot.append(element);
  return element;
}

function clear(plot) {
  plot
    .querySelectorAll(".chart-cursor, .chart-dot, .chart-tip")
    .forEach((element) => element.remove());
}

function point(plot, event) {
  const box = plot.getBoundingClientRect();
  const points = [...plot.querySelectorAll(".chart-points li")];
  if (!points.length) return;
  const steps = plot.closest("[data-chart]").dataset.chart === "steps";
  const x = ((event.clientX - box.left) / box.width) * 1000;
  const shown = steps ? before(points, x) : nearest(points, x);
  clear(plot);
  const left = (Number(shown.dataset.x) / 1000) * box.width;
  add(plot, "chart-cursor").style.left = `${left}px`;
  if (steps) {
    const dot = add(plot, "chart-dot");
    dot.style.left = `${left}px`;
    dot.style.top = `${shown.dataset.y}%`;
  }
  const tip = add(plot, "chart-tip");
  const text = document.createElement("b");
  text.textContent = shown.dataset.text;
  const when = document.createElement("span");
  when.textContent = new Intl.DateTimeFormat(undefined, {
    dateStyle: "medium",
    timeStyle: "medium",
    hour12: false,
    timeZone: document.documentElement.dataset.zone === "utc" ? "UTC" : undefined,
  }).format(new Date(shown.dataset.at));
  tip.append(text, when);
  const room = box.width - tip.offsetWidth;
  tip.style.left = `${Math.max(0, Math.min(room, left + (left > box.width / 2 ? -tip.offsetWidth - 10 : 10)))}px`;
}

document.addEventListener("pointermove", (event) => {
  const plot = event.target.closest?.(".chart-plot");
  for (const other of document.querySelectorAll(".chart-plot")) if (other !== plot) clear(other);
  if (plot) point(plot, event);
});
