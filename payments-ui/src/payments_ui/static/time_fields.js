// Fields of time: the server takes UTC, they show the reader's zone unless it is switched to UTC.
const pad = (number) => String(number).padStart(2, "0");
const zone = () => document.documentElement.dataset.zone;

function localText(at) {
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day}T${pad(at.getHours())}:${pad(at.getMinutes())}`;
}

const fromUtc = (utc) => (zone() === "utc" ? utc : localText(new Date(`${utc}Z`)));

/** The instants of a local time, earlier first: two of them while a clock set back repeats itself. */
function momentsOf(local) {
  const at = new Date(local).getTime();
  const moments = [-60, -30, 0, 30, 60].map((minutes) => new Date(at + minutes * 60_000));
  const same = moments.filter((moment) => localText(moment) === local);
  return same.length ? same : [new Date(at)]; // No instant: the clock was set forward past this time.
}

/** The field's time in UTC. Of two instants, take the one that makes the range wider. */
function toUtc(field) {
  const { value, dataset } = field;
  if (dataset.shown === value) return dataset.local;
  if (dataset.shownIn === "utc" || !value) return value;
  const moments = momentsOf(value);
  const at = field.name === "end" ? moments[moments.length - 1] : moments[0];
  return at.toISOString().slice(0, 16);
}

function showUtc(field, utc) {
  field.dataset.local = utc; // An unchanged field keeps its exact time.
  field.value = utc && fromUtc(utc);
  field.dataset.shown = field.value;
  field.dataset.shownIn = zone();
}

function localise(root) {
  for (const field of root.querySelectorAll("input[data-utc]")) {
    field.removeAttribute("data-utc");
    showUtc(field, field.value);
  }
  for (const note of root.querySelectorAll(".zone-note")) note.hidden = zone() !== "utc";
  showRange();
}

document.addEventListener("zonechange", () => {
  for (const field of document.querySelectorAll("input[data-local]")) showUtc(field, toUtc(field));
  localise(document);
});

/* Ranges of days in the zone that is shown. */
const RANGES = {
  today: (day) => [day(0), ""],
  yesterday: (day) => [day(-1), day(0)],
  week: (day) => [day(-6), ""],
  month: (day) => [`${day(0).slice(0, 8)}01T00:00`, ""],
};

function rangeOf(name) {
  const now = new Date();
  const midnight =
    zone() === "utc"
      ? (days) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + days))
      : (days) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days);
  const text = (at) => (zone() === "utc" ? at.toISOString().slice(0, 16) : localText(at));
  return RANGES[name]((days) => text(midnight(days)));
}

const rangeFields = () => ["f-start", "f-end"].map((id) => document.getElementById(id));

/** Mark the button of the range that the fields hold. */
function showRange() {
  const held = rangeFields().map((field) => field?.value);
  for (const button of document.querySelectorAll("[data-range]")) {
    const same = rangeOf(button.dataset.range).every((value, index) => value === held[index]);
    button.setAttribute("aria-pressed", String(same));
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-range]");
  if (!button) return;
  // A second click on the button clears the range.
  const range =
    button.getAttribute("aria-pressed") === "true" ? ["", ""] : rangeOf(button.dataset.range);
  rangeFields().forEach((field, index) => (field.value = range[index]));
  button.form.dispatchEvent(new Event("change", { bubbles: true }));
});

document.addEventListener("change", (event) => {
  if (event.target.closest("#filters")) showRange();
});

document.addEventListener("formdata", (event) => {
  for (const field of event.target.querySelectorAll("input[data-local]")) {
    if (field.value) event.formData.set(field.name, toUtc(field));
  }
});
document.addEventListener("htmx:after:swap", () => localise(document));
localise(document);
