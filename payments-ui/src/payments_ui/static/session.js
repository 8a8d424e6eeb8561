// Signing out in one window reaches the others of the same browser; the menu closes by itself.
const windows = new BroadcastChannel("payments.session");
if (document.querySelector("[data-signed-out]")) windows.postMessage("signed out");
// What is asked for again leads to the sign-in page, and from there back.
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
