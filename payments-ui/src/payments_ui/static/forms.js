// Forms: input survives errors and reloads, times are local, confirmations open in a dialog.

/* Times: the server takes UTC, the fields show the reader's zone. */
const pad = (number) => String(number).padStart(2, "0");

function localText(at) {
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day}T${pad(at.getHours())}:${pad(at.getMinutes())}`;
}

const fromUtc = (utc) => localText(new Date(`${utc}Z`));

/** The moments of a local time, earlier first: two when the clock is set back, by an hour or half. */
function momentsOf(local) {
  const at = new Date(local).getTime();
  const moments = [-60, -30, 0, 30, 60].map((minutes) => new Date(at + minutes * 60_000));
  const same = moments.filter((moment) => localText(moment) === local);
  return same.length ? same : [new Date(at)]; // None when the clock is set forward past it.
}

/** The field's time in UTC. Of two moments a range takes the one that makes it wider. */
function toUtc(field) {
  const { value, dataset } = field;
  if (dataset.shown === value) return dataset.local;
  const moments = momentsOf(value);
  const at = field.name === "end" ? moments[moments.length - 1] : moments[0];
  return at.toISOString().slice(0, 16);
}

function localise(root) {
  for (const field of root.querySelectorAll("input[data-utc]")) {
    field.removeAttribute("data-utc");
    field.dataset.local = field.value; // In UTC: kept for a field that is not changed.
    if (field.value) field.value = fromUtc(field.value);
    field.dataset.shown = field.value;
  }
  root.querySelectorAll(".zone-note").forEach((note) => note.remove());
}

document.addEventListener("formdata", (event) => {
  for (const field of event.target.querySelectorAll("input[data-local]")) {
    if (field.value) event.formData.set(field.name, toUtc(field));
  }
  if (event.target.method === "get") {
    // Empty fields make long addresses.
    for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
  }
});

/* Buttons that need a script are hidden without it. */
function reveal(root) {
  for (const button of root.querySelectorAll("[data-copy][hidden]")) {
    button.hidden = !navigator.clipboard;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.classList.add("is-done");
  setTimeout(() => button.classList.remove("is-done"), 1200);
});

/* The filters are open on a wide screen. */
for (const box of document.querySelectorAll("details[data-open-wide]")) {
  const wide = matchMedia("(min-width: 48rem)");
  const fit = () => (box.open = box.open || wide.matches);
  fit();
  wide.addEventListener("change", fit);
}

/* Confirmations open in a dialog; without a script their links open a page. */
const dialog = document.getElementById("dialog");

async function openDialog(link) {
  const body = document.getElementById("dialog-body");
  await htmx.ajax("GET", link.getAttribute("href"), {
    target: body,
    swap: "innerHTML",
    select: "#confirm",
  });
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("input:not([type=hidden])")?.focus();
}

document.addEventListener("click", (event) => {
  const plain = !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0;
  const opener = event.target.closest("a[data-dialog]");
  if (opener && plain) {
    event.preventDefault();
    openDialog(opener);
  } else if (
    dialog.open &&
    (event.target === dialog || event.target.closest("[data-dialog-close]"))
  ) {
    event.preventDefault();
    dialog.close();
  }
});

/* Paying: input survives a reload until the payment is created. Its idempotency key is kept with
   it: sending again after a lost response creates no second payment. */
const DRAFT = "payments.draft";
const FIELDS = [
  "accountId",
  "amount",
  "currency",
  "description",
  "reference",
  "metadata",
  "source",
  "idempotencyKey",
];
const payForm = () => document.getElementById("pay");

function remember() {
  const draft = Object.fromEntries(FIELDS.map((name) => [name, payForm().elements[name].value]));
  try {
    sessionStorage.setItem(DRAFT, JSON.stringify(draft));
  } catch {
    // Storage is unavailable: a reload loses the input.
  }
}

function forget() {
  try {
    sessionStorage.removeItem(DRAFT);
  } catch {
    // Storage is unavailable: nothing was stored.
  }
}

function restore() {
  const draft = (() => {
    try {
      return JSON.parse(sessionStorage.getItem(DRAFT));
    } catch {
      return null;
    }
  })();
  if (!draft || !payForm() || payForm().elements.amount.value) return;
  for (const name of FIELDS) if (draft[name]) payForm().elements[name].value = draft[name];
}

document.addEventListener("htmx:before:request", (event) => {
  if (event.target.id === "pay") {
    remember();
    document.getElementById("pay-trouble").hidden = true;
  }
});
document.addEventListener("htmx:error", (event) => {
  if (event.target.id === "pay") document.getElementById("pay-trouble").hidden = false;
});
document.addEventListener("htmx:after:swap", (event) => {
  const panel = document.getElementById("pay-panel");
  if (event.detail.ctx?.sourceElement?.id === "pay" || event.target === panel) {
    if (panel?.querySelector(".receipt")) forget();
    const wrong = panel?.querySelector("[aria-invalid]");
    (wrong ?? panel?.querySelector(".receipt ~ form #amount"))?.focus();
  }
});

const refresh = () => {
  localise(document);
  reveal(document);
};
document.addEventListener("htmx:after:swap", refresh);
refresh();
restore();
