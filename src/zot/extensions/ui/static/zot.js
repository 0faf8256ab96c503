// What pages do beyond HTML: keys, copying, and closing the suggestions. Everything else works without it.
"use strict";

document.documentElement.classList.add("js");

document.addEventListener("DOMContentLoaded", () => {
  const search = document.querySelector("#search");
  const suggestions = document.querySelector("#suggestions");

  const close = () => suggestions && suggestions.replaceChildren();

  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape") {
      close();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      move(event);
    }
  });

  // Arrows walk through the suggestions, or through the rows of the page's first table.
  const move = (event) => {
    const inSearch = event.target === search || suggestions.contains(event.target);
    if (event.target.matches("input, select, textarea") && !inSearch) return;
    const links = [...document.querySelectorAll(inSearch ? "#suggestions a" : "main tbody td.name > a")];
    if (!links.length) return;
    event.preventDefault();
    const next = links.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    if (next < 0) (inSearch ? search : links[0]).focus();
    else links[Math.min(next, links.length - 1)].focus();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      navigator.clipboard.writeText(button.dataset.copy).then(() => {
        const before = button.textContent;
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = before; }, 1500);
      });
    } else if (suggestions && !suggestions.contains(event.target)) {
      close();
    }
  });

  // A select of a form of filters applies at once.
  document.querySelectorAll("form.filters select").forEach((select) => {
    select.addEventListener("change", () => select.form.requestSubmit());
  });
});
