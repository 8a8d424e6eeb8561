// Decisions about dead letters and payments: dialogs that confirm them, and ticks.

/* Confirmations open in a dialog; without a script their links open a page. */
const dialog = document.getElementById("dialog");

async function openDialog(address) {
  const body = document.getElementById("dialog-body");
  await htmx.ajax("GET", address, {
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
    openDialog(opener.getAttribute("href"));
  } else if (
    dialog.open &&
    ((event.target === dialog && !dialog.querySelector("[data-shown-once]")) ||
      event.target.closest("[data-dialog-close]"))
  ) {
    event.preventDefault();
    dialog.close();
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-dialog]");
  if (!form) return;
  event.preventDefault();
  const address = event.submitter?.getAttribute("formaction") ?? form.getAttribute("action");
  openDialog(`${address}?${new URLSearchParams(new FormData(form))}`);
});

/* Count the ticked dead letters; the box above a table ticks all of its rows. */
function countTicks() {
  const shown = document.getElementById("ticked-count");
  if (!shown) return;
  const number = document.querySelectorAll("input[form=ticked]:checked").length;
  const text = number ? `${number} ticked` : "Tick dead letters to replay or discard them together.";
  if (shown.textContent !== text) shown.textContent = text;
}

document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-tick-all]");
  const boxes = all?.closest("table").querySelectorAll("input[form=ticked]") ?? [];
  for (const box of boxes) box.checked = all.checked;
  countTicks();
});

document.addEventListener("htmx:after:swap", countTicks);
countTicks();
