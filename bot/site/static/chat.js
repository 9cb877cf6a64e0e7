// The chat on the page: shows the conversation, sends each message under a key of its own until it is answered, and
// fetches what comes unasked. What was not answered yet survives a reload; the same key never takes effect twice.

const root = document.getElementById("chat");
const log = document.getElementById("chat-log");
const form = document.getElementById("chat-form");
const field = document.getElementById("chat-text");
const state = document.getElementById("chat-state");
const words = JSON.parse(root.dataset.words);
const language = document.documentElement.lang.slice(0, 2);
const store = `unsent ${root.dataset.path}`;
const shown = new Set(), sleepers = new Set(); // ids of bubbles ("m<key>" the person's, "b<id>" ours); who waits
let unsent = recall(), // {key, text}, or {scene} for the opening itself
  ready = false, started = false, sending = false, fetching = false;

function recall() { try { return JSON.parse(sessionStorage.getItem(store)) || []; } catch { return []; } }
function keep() { try { sessionStorage.setItem(store, JSON.stringify(unsent)); } catch { /* this page remembers */ } }

// 32 random hexadecimal digits; crypto.randomUUID is missing where a page is served without https.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");
}

// Wait so many seconds, or until the network or the page comes back.
function pause(seconds) {
  return new Promise((resolve) => {
    const wake = () => resolve(sleepers.delete(wake));
    sleepers.add(wake);
    setTimeout(wake, seconds * 1000);
  });
}
const wakeAll = () => [...sleepers].forEach((wake) => wake());

// One request. Throws when it may work a moment later: no network, no answer in time, a server in trouble.
async function call(method, path, body, seconds = 15) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), seconds * 1000);
  try {
    const response = await fetch(`${root.dataset.path}/${path}`, {
      method,
      signal: late.signal,
      cache: "no-store",
      headers: { "Accept-Language": language, ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body && JSON.stringify(body),
    });
    if (response.status >= 500 || response.status === 408) throw new Error(`status ${response.status}`);
    return { status: response.status, wait: Number(response.headers.get("Retry-After")) || 5, data: await response.json() };
  } finally { clearTimeout(timer); }
}

function tell(text, trouble) {
  if (state.textContent !== text) state.textContent = text;
  state.classList.toggle("trouble", trouble);
}

// Say that the network is gone, wait a while, and return how long to wait the next time.
async function trouble(delay) {
  tell(words.reconnecting, true);
  await pause(delay);
  return Math.min(delay * 2, 15);
}

function make(tag, className, text) {
  return Object.assign(document.createElement(tag), { className, textContent: text || "" });
}

function link(url, className, text) {
  return Object.assign(make("a", className, text), { href: url, target: "_blank", rel: "noopener" });
}

function written(text) {
  const parts = text.split(/(https?:\/\/[\w\-./?=&%#~:+@!$*;]*[\w/#=&-])/);
  const bubble = make("div", "bubble");
  bubble.append(...parts.map((part, place) => (place % 2 ? link(part, "", part) : part)));
  return bubble;
}

function choicesOf(choices) {
  const list = make("div", "choices");
  for (const choice of choices) {
    const target = choice.url ? link(choice.url, "", choice.label) : make("button", "", choice.label);
    if (!choice.url) Object.assign(target, { type: "button" }).dataset.say = choice.say;
    list.append(target);
  }
  return list;
}

// Add one thing said, once. Only the newest choices stay, so that a keyboard need not walk through old ones.
function show(entry, mark) {
  const id = (entry.mine ? "m" : "b") + entry.id;
  if (shown.has(id)) return;
  shown.add(id);
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const said = make("div", `said ${entry.mine ? "mine" : "theirs"}`);
  said.id = id;
  said.append(make("span", "unseen", entry.mine ? words.you : words.us));
  if (entry.picture) {
    const frame = link(entry.picture.url, "picture");
    frame.append(Object.assign(make("img", ""), { alt: entry.picture.alt, src: entry.picture.url }));
    said.append(frame);
  }
  if (entry.text) said.append(written(entry.text));
  if (entry.mine) {
    said.append(make("p", "mark", mark));
  } else {
    if (document.activeElement.closest(".choices")) log.focus({ preventScroll: true });
    for (const old of log.querySelectorAll(".choices")) old.remove();
    if (entry.choices) said.append(choicesOf(entry.choices));
  }
  document.getElementById("chat-empty")?.remove();
  log.append(said);
  // What is taller than the window is read from its beginning.
  if (atEnd || entry.mine) log.scrollTop = entry.mine ? log.scrollHeight : said.offsetTop - 12;
}

function mark(key, text, failed) {
  const line = key && document.querySelector(`#m${key} .mark`);
  if (line) Object.assign(line, { textContent: text, className: failed ? "mark failed" : "mark" });
}

// Three dots while an answer is awaited; for the eye only.
function think(on) {
  log.querySelector(".thinking")?.remove();
  if (!on) return;
  log.insertAdjacentHTML("beforeend", '<div class="thinking" aria-hidden="true"><i></i><i></i><i></i></div>');
  log.scrollTop = log.scrollHeight;
}

function say(text) {
  if (!text.trim()) return;
  const item = { key: newKey(), text: text.trim() };
  unsent.push(item);
  keep();
  show({ mine: true, id: item.key, text: item.text });
  send();
}

// Send what waits, one after the other, each again and again under its key until there is an answer to it.
async function send() {
  if (sending || !ready) return;
  sending = true;
  for (let delay = 1; unsent.length; ) {
    const item = unsent[0];
    think(Boolean(item.key));
    try {
      const { status, wait, data } = await call("POST", item.key ? "send" : "open", item);
      think(false);
      if (status === 429) {
        tell(data.message, true);
        mark(item.key, words.later);
        await pause(wait);
        continue;
      }
      keep(unsent.shift());
      if (item.scene) history.replaceState(null, "", location.href.replace(/([?&])c=[^&#]*&?/, "$1"));
      tell(words.online, false);
      mark(item.key, status === 200 ? "" : data.message, status !== 200);
      for (const answer of data.answers || []) show(answer);
      delay = 1;
      fetchWaiting();
    } catch {
      think(false);
      mark(item.key, words.resending);
      delay = await trouble(delay);
    }
  }
  sending = false;
}

// Fetch what comes outside of an answer for as long as the page is looked at; `after` says what has arrived here.
async function fetchWaiting(after = 0) {
  if (fetching || !started) return;
  fetching = true;
  for (let delay = 1; ; ) {
    while (document.hidden) await pause(60);
    const began = Date.now();
    try {
      const { status, wait, data } = await call("GET", `waiting?after=${after}`, undefined, 40);
      if (status === 200 && !data.guest) break;
      if (!sending) tell(words.online, false);
      delay = 1;
      for (const answer of data.answers || []) {
        show(answer);
        after = answer.id; // the last one names all that were handed out with it
      }
      if (status !== 200) await pause(wait);
      else if (!data.answers.length && Date.now() - began < 1000) await pause(2);
    } catch {
      delay = await trouble(delay);
    }
  }
  fetching = false;
}

// A guest is made at the first sign of a person, never because a robot fetched the page.
function openAtFirstSign() {
  const signs = ["pointermove", "pointerdown", "keydown", "scroll", "touchstart", "focusin"];
  const open = () => {
    for (const sign of signs) removeEventListener(sign, open);
    unsent.push(root.dataset.scene ? { scene: root.dataset.scene } : {});
    send();
  };
  for (const sign of signs) addEventListener(sign, open, { passive: true });
}

// What was left unsent is sent before the history is asked for, which then has it all, each thing once.
async function start() {
  log.setAttribute("aria-live", "off");
  for (const { key, text } of unsent) if (key) show({ mine: true, id: key, text }, words.resending);
  ready = true;
  await send();
  ready = false;
  for (let delay = 1; !ready; ) {
    try {
      const { status, data } = await call("GET", "history");
      if (status !== 200) throw new Error(`status ${status}`);
      if (data.messages.length) log.replaceChildren();
      shown.clear();
      for (const entry of data.messages) show(entry);
      ready = started = true;
      if (!data.messages.length || root.dataset.scene) openAtFirstSign();
      if (data.guest) fetchWaiting(data.after);
    } catch {
      delay = await trouble(delay);
    }
  }
  for (const { key, text } of unsent) show({ mine: true, id: key, text });
  tell(words.online, false);
  setTimeout(() => log.setAttribute("aria-live", "polite"), 500);
  send();
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-say]");
  if (target) say(target.dataset.say);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  say(field.value);
  field.value = "";
});
addEventListener("online", wakeAll);
addEventListener("offline", () => tell(words.reconnecting, true));
document.addEventListener("visibilitychange", wakeAll);
const jump = document.querySelector(".jump");
new IntersectionObserver(([seen]) => { jump.hidden = seen.isIntersecting; }, { threshold: 0.2 }).observe(root);

for (const id of ["chat-plain", "chat-starters"]) document.getElementById(id).toggleAttribute("hidden");
form.querySelector("fieldset").disabled = false;
start();
