// Looks at the composer's preview again when somebody stops typing: what its button shows, without leaving the page. And
// shows the fields of an article to whoever chose that kind.
"use strict";
for (const form of document.querySelectorAll("[data-compose]")) {
  let timer = 0;
  let asked = null;
  const look = async () => {
    asked?.abort();
    asked = new AbortController();
    const sent = new URLSearchParams(new FormData(form));
    sent.set("do", "preview");
    try {
      const answer = await fetch(form.action, { method: "POST", body: sent, redirect: "error", signal: asked.signal });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#preview");
      const shown = document.querySelector("#preview");
      if (answer.ok && fresh && shown) {
        shown.replaceChildren(...fresh.childNodes);
        document.querySelector("#told").textContent = shown.querySelector("h3")?.textContent ?? "";
      }
    } catch {
      // The button is still there.
    }
  };
  form.addEventListener("input", (event) => {
    if (event.target.name === "kind" && event.target.value === "article") form.querySelector(".article").open = true;
    clearTimeout(timer);
    timer = setTimeout(look, 900);
  });
}
