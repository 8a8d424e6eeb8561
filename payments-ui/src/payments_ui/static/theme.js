// Runs before the first paint, so that the other theme does not flash.
(() => {
  const root = document.documentElement;
  root.classList.add("has-script");
  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // Storage is unavailable: use the system's theme.
    }
  };
  const dark = () =>
    (root.dataset.theme ||
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  if (stored() === "light" || stored() === "dark") root.dataset.theme = stored();

  document.addEventListener("DOMContentLoaded", () => {
    const toggle = document.getElementById("theme-toggle");
    const label = () => {
      toggle.setAttribute("aria-label", dark() ? "Use the light theme" : "Use the dark theme");
      toggle.title = toggle.getAttribute("aria-label");
    };
    toggle.hidden = false;
    label();
    toggle.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      try {
        localStorage.setItem("theme", root.dataset.theme);
      } catch {
        // Storage is unavailable: the choice lasts as long as the page.
      }
      label();
    });
  });
})();
