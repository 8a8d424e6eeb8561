// "/" focuses the search, "?" shows the keys; in a text field both are plain characters.
const TYPING = "input, textarea, select, [contenteditable]";
const keys = document.getElementById("keys");
const search = document.getElementById("find");

function show() {
  if (keys && !keys.open && !document.querySelector("dialog[open]")) keys.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  // A check box is an input element without text.
  const field = event.target.closest?.(TYPING);
  if ((field && field.type !== "checkbox") || document.querySelector("dialog[open]")) return;
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "?") {
    event.preventDefault();
    show();
  }
});

for (const button of document.querySelectorAll("[data-keys]")) {
  button.hidden = false;
  button.addEventListener("click", show);
}
keys?.addEventListener("click", (event) => {
  if (event.target === keys || event.target.closest("[data-dialog-close]")) keys.close();
});
