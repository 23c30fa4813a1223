//! Runs before the first paint, so that a remembered theme or language never flashes past in the other one.
(() => {
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem("theme");
    const language = localStorage.getItem("language");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    if (language) root.lang = language;
  } catch {
    // Storage is switched off: the browser's own preferences hold.
  }
})();
