"use strict";
/* A classic, deferred script: modules and fetch() do not work on file://. It runs after MathJax and
   before the page's own start, when search and widgets are set up. */

// Search summaries are fetched from the pages found, which a browser refuses on file://.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// Widgets typeset their labels through MathJax 2's queue; the book has MathJax 3.
if (window.MathJax && !window.MathJax.Hub) {
  window.MathJax.Hub = {
    Queue: (...calls) => {
      const elements = calls.filter(Array.isArray).map((call) => call[2]).filter(Boolean);
      window.MathJax.startup.promise.then(() => window.MathJax.typesetPromise(elements));
    },
  };
}

// The handles of slider widgets have a role but no name; their widget's label is one.
const nameSliders = () => {
  for (const handle of document.querySelectorAll(".noUi-handle:not([aria-label])")) {
    const label = handle.closest(".jupyter-widgets")?.querySelector(".widget-label");
    if (label?.textContent) handle.setAttribute("aria-label", label.textContent);
  }
};

if (document.querySelector("script[type^='application/vnd.jupyter.widget']")) {
  new MutationObserver(nameSliders).observe(document.body, { childList: true, subtree: true });
}

// A link into a lab's folded diagnosis opens it, in browsers that do not do so themselves.
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = target?.closest(".course-diagnosis:not([open])");
  if (!folded) return;
  folded.open = true;
  target.scrollIntoView();
};

addEventListener("hashchange", unfold);
unfold();

// The headings of a folded diagnosis would give it away beside the page: "read the hunk".
for (const folded of document.querySelectorAll(".course-diagnosis")) {
  const show = () => {
    for (const entry of document.querySelectorAll(".page-toc a[href^='#']")) {
      const target = document.getElementById(decodeURIComponent(entry.hash.slice(1)));
      if (folded.contains(target)) entry.parentElement.hidden = !folded.open;
    }
  };
  folded.addEventListener("toggle", show);
  show();
}
