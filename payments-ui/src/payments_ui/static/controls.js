// Controls that need a script, the filters' box, and short addresses.

/** Show the controls that are hidden without a script. */
function reveal(root) {
  for (const button of root.querySelectorAll("[data-copy][hidden]")) {
    button.hidden = !navigator.clipboard;
  }
  for (const box of root.querySelectorAll("[data-tick-all][hidden]")) box.hidden = false;
  for (const part of root.querySelectorAll("[data-scripted][hidden]")) part.hidden = false;
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

document.addEventListener("formdata", (event) => {
  if (event.target.method !== "get") return;
  // Empty fields make long addresses.
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});

reveal(document);
// Rows and dialogs inserted later have buttons too.
const observer = new MutationObserver(() => reveal(document));
for (const id of ["main", "dialog"]) {
  observer.observe(document.getElementById(id), { childList: true, subtree: true });
}
