// Signs out the browser's other windows; closes the user menu.
const windows = new BroadcastChannel("payments.session");
if (document.querySelector("[data-signed-out]")) windows.postMessage("signed out");
// A reload leads to the sign-in page, and back after signing in.
windows.addEventListener("message", () => {
  if (!document.querySelector("[data-signed-out], .sign-in")) location.reload();
});

const menu = document.querySelector(".who");
document.addEventListener("click", (event) => {
  if (menu?.open && !menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu?.open) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
