// Fetches the parts marked data-live again every few seconds while the page is looked at; a failed look waits longer.
"use strict";
for (const part of document.querySelectorAll("[data-live]")) {
  const usual = Number(part.dataset.seconds) * 1000;
  let wait = usual;
  const look = async () => {
    if (!document.hidden && !part.contains(document.activeElement)) {
      try {
        const answer = await fetch(part.dataset.live, { redirect: "error" });
        if (!answer.ok) throw new Error(String(answer.status));
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        part.replaceChildren(...fresh.body.childNodes);
        part.classList.remove("stale");
        wait = usual;
      } catch {
        part.classList.add("stale");
        wait = Math.min(wait * 2, 60000);
      }
    }
    setTimeout(look, wait);
  };
  setTimeout(look, usual);
}
