// Applies changed payments to the page: rows of the list, badges, details.
const RECENT_MAX = 400; // Outcomes kept for fragments that were read just before them.
const COUNTED_MAX = 5000; // Held rows: the bound for a list on which the pointer rests overnight.
const ROWS_MAX = 100; // Rows of a list that grows while it is open; beyond this, the list is refetched.
const REFETCH_MS = 700; // A busy account's page is refetched at most this often.

const source = document.getElementById("live");
const recent = new Map(); // Payment id -> its newest row.
// New rows are held while the list is in use: the newest that fit, and their number.
const held = new Map();
const heldIds = new Set();
let refetchTimer = null;

const list = () => document.getElementById("rows");
const idOf = (row) => row.dataset.id;

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return [...template.content.querySelectorAll("tr[data-id]")];
}

/** Whether the list is in use, so that no row, nor the button above, may move under the pointer. */
function occupied(rows) {
  const box = rows.closest("section").getBoundingClientRect();
  const pointedAt = document.querySelector("#newer:hover, table:hover > #rows") !== null;
  return box.top < -40 || pointedAt || rows.contains(document.activeElement);
}

/** The amount without trailing zeros, so that 5.00 equals 5. */
const shortest = (amount) => amount.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");

/** The status that another one is a kind of; filters by it show both. */
const KIND_OF = { discrepancy: "completed", attention: "pending" };

/** Whether the row matches the list's filters. */
function matches(row, filters) {
  const { account, status, currency, start, end, amount, description } = filters.dataset;
  const text = row.querySelector(".cell-description").textContent.toLowerCase();
  const created = row.dataset.created.slice(0, 16);
  return (
    (!account || account === row.dataset.account) &&
    (!status || status === row.dataset.status || status === KIND_OF[row.dataset.status]) &&
    (!currency || currency === row.dataset.currency) &&
    (!amount || shortest(amount) === shortest(row.dataset.amount)) &&
    (!description || text.includes(description.toLowerCase())) &&
    (!start || created >= start) &&
    (!end || created < end)
  );
}

function replace(old, row) {
  const changed = old.dataset.status !== row.dataset.status;
  const fresh = row.cloneNode(true);
  if (old.contains(document.activeElement)) {
    // Keep the focused link; replace only the cells that can change.
    for (const cell of [".cell-status", ".cell-amount"]) {
      old.querySelector(cell).replaceWith(fresh.querySelector(cell));
    }
    old.dataset.status = row.dataset.status;
    if ("settled" in row.dataset) old.dataset.settled = "";
  } else {
    old.replaceWith(fresh);
  }
  if (changed) document.getElementById(row.id).classList.add("is-changed");
}

/** Insert a new row in the order of ids, which increase with time. */
function insert(rows, row) {
  const fresh = row.cloneNode(true);
  fresh.classList.add("is-new");
  const after = [...rows.children].find((other) => idOf(other) < idOf(row));
  rows.insertBefore(fresh, after ?? null);
}

function showHeld() {
  const button = document.getElementById("newer");
  if (!button) return;
  const count = heldIds.size;
  button.hidden = count === 0;
  document.getElementById("newer-text").textContent =
    `${count}${count < COUNTED_MAX ? "" : "+"} newer payment${count === 1 ? "" : "s"}`;
}

/** Show the held rows. Keep all other rows, because the link "Older" begins below the last one. */
function letIn() {
  const rows = list();
  const someAreMissing = heldIds.size > held.size;
  if (someAreMissing || rows.children.length + held.size > ROWS_MAX) {
    refetch();
    return;
  }
  for (const row of held.values()) if (!document.getElementById(row.id)) insert(rows, row);
  held.clear();
  heldIds.clear();
  showHeld();
}

function takeNew(rows, row) {
  if (rows.dataset.order === "asc") return; // Newer rows belong on the last page.
  const known = [...rows.children];
  const belowThisPage =
    known.length >= Number(rows.dataset.limit) && idOf(row) < idOf(known[known.length - 1]);
  if (!matches(row, rows) || belowThisPage) return;
  // Newer than every payment that existed when this page of older payments was drawn.
  if (rows.dataset.firstPage !== "yes" && idOf(row) <= rows.dataset.newest) return;
  if (heldIds.size < COUNTED_MAX) heldIds.add(idOf(row));
  held.set(idOf(row), row);
  if (held.size > Number(rows.dataset.limit)) held.delete([...held.keys()].sort()[0]);
}

/** Drop held rows that a fresh fragment shows or has passed. */
function forgetShown(rows) {
  const newest = rows.dataset.firstPage === "yes" ? rows.querySelector("tr")?.dataset.id : "";
  for (const id of heldIds) {
    if (id <= (newest ?? "") || document.getElementById(`p-${id}`)) {
      heldIds.delete(id);
      held.delete(id);
    }
  }
}

function takeRow(row) {
  recent.delete(idOf(row));
  recent.set(idOf(row), row);
  if (recent.size > RECENT_MAX) recent.delete(recent.keys().next().value);
  for (const badge of document.querySelectorAll(`[data-badge-of="${CSS.escape(idOf(row))}"]`)) {
    badge.replaceChildren(row.querySelector(".badge").cloneNode(true));
  }
  const rows = list();
  if (!rows) return;
  const shown = document.getElementById(row.id);
  if (shown) replace(shown, row);
  else if (held.has(idOf(row))) held.set(idOf(row), row);
  else if (heldIds.has(idOf(row))) return;
  else takeNew(rows, row);
}

/** Whether the change concerns the payment or account on the page. */
function concerns(row) {
  return (
    document.querySelector("[data-refetch-payment]")?.dataset.refetchPayment === idOf(row) ||
    document.querySelector("[data-refetch-account]")?.dataset.refetchAccount === row.dataset.account
  );
}

function refetch() {
  refetchTimer ??= setTimeout(() => {
    refetchTimer = null;
    document.body.dispatchEvent(new CustomEvent("refetch"));
  }, REFETCH_MS);
}

source?.addEventListener("payments", (event) => {
  const rows = parse(event.detail.data);
  rows.forEach(takeRow);
  if (rows.some(concerns)) refetch();
  if (list()?.dataset.firstPage === "yes" && held.size && !occupied(list())) letIn();
  showHeld();
});

// A fragment may be older than an event that the page already shows.
document.addEventListener("htmx:after:swap", () => {
  for (const [id, row] of recent) {
    // A pending payment may have changed since; a settled one never changes.
    if (!("settled" in row.dataset)) continue;
    const shown = document.getElementById(`p-${id}`);
    if (shown && !("settled" in shown.dataset)) replace(shown, row);
    for (const badge of document.querySelectorAll(`[data-badge-of="${CSS.escape(id)}"]`)) {
      badge.replaceChildren(row.querySelector(".badge").cloneNode(true));
    }
  }
  if (!list()) return;
  forgetShown(list());
  showHeld();
});

document.addEventListener("click", (event) => {
  if (!event.target.closest("#newer")) return;
  if (list().dataset.firstPage === "yes") {
    letIn();
    document.getElementById("list").scrollIntoView({ block: "nearest" });
  } else {
    document.querySelector(".pager a")?.click();
  }
});
