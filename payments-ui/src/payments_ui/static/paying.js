// The payment form: it warns before it is sent, and its input survives errors and reloads.

/* Warn of rejections before the form is sent; never shorten the input. */
function count(field) {
  const max = Number(field.dataset.count);
  const length = [...field.value.trim()].length;
  const id = `${field.id}-count`;
  let shown = document.getElementById(id);
  if (!shown) {
    shown = document.createElement("p");
    shown.id = id;
    shown.className = "field-hint";
    shown.setAttribute("role", "status");
    field.after(shown);
  }
  const over = length > max;
  shown.classList.toggle("field-warning", over);
  const text = over ? `${length} characters: ${length - max} too many` : `${length} of ${max}`;
  shown.textContent = length > max * 0.8 ? text : "";
}

function warn() {
  const amount = document.getElementById("amount");
  const warning = document.getElementById("amount-warning");
  if (!amount || !warning) return;
  const typed = amount.value.trim();
  const isZero = /[0-9]/.test(typed) && !/[1-9]/.test(typed);
  const why = isZero ? "zero" : /^[-−]/.test(typed) ? "negative" : "";
  warning.textContent = why && `This payment will fail: its amount is ${why}.`;
}

function adviseOn(form) {
  for (const field of form?.querySelectorAll("[data-count]") ?? []) count(field);
  warn();
}

document.addEventListener("input", (event) => {
  if (event.target.form?.id === "pay") adviseOn(event.target.form);
});

/* Input survives a reload until the payment is created. Its idempotency key is kept with it:
   sending again after a lost response creates no second payment. */
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

document.addEventListener("htmx:after:swap", () => adviseOn(payForm()));
restore();
adviseOn(payForm());
