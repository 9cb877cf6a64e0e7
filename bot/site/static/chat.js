// The chat on the page: shows the conversation, sends each message under a key of its own until it is answered, and
// fetches what comes unasked. What was not answered yet survives a reload; the same key never takes effect twice.

const root = document.getElementById("chat");
const log = document.getElementById("chat-log");
const empty = document.getElementById("chat-empty");
const form = document.getElementById("chat-form");
const field = document.getElementById("chat-text");
const state = document.getElementById("chat-state");
const words = JSON.parse(root.dataset.words);
const language = document.documentElement.lang.slice(0, 2);
const store = `unsent ${root.dataset.path}`;

const shown = new Set(); // ids of bubbles: "m<key>" said by the person, "b<id>" by the house
const sleepers = new Set();
let unsent = recall(); // {key, text}, or {scene} for the opening itself
let ready = false;
let sending = false;
let fetching = false;

function recall() {
  try { return JSON.parse(sessionStorage.getItem(store)) || []; } catch { return []; }
}

function keep() {
  try { sessionStorage.setItem(store, JSON.stringify(unsent)); } catch { /* private mode: this page still remembers */ }
}

// 32 random hexadecimal digits; crypto.randomUUID is missing where a page is served without https.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");
}

// Wait so many seconds, or until the network or the page comes back.
function pause(seconds) {
  return new Promise((resolve) => {
    const wake = () => { sleepers.delete(wake); resolve(); };
    sleepers.add(wake);
    setTimeout(wake, seconds * 1000);
  });
}

function wakeAll() { for (const wake of [...sleepers]) wake(); }

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
  } finally {
    clearTimeout(timer);
  }
}

function tell(text, trouble) {
  if (state.textContent !== text) state.textContent = text;
  state.classList.toggle("trouble", trouble);
}

function make(tag, className, text) {
  return Object.assign(document.createElement(tag), { className, textContent: text || "" });
}

function link(url, className, text) {
  return Object.assign(make("a", className, text), { href: url, target: "_blank", rel: "noopener" });
}

function written(text) {
  const bubble = make("div", "bubble");
  for (const [place, part] of text.split(/(https?:\/\/[\w\-./?=&%#~:+@!$*;]*[\w/#=&-])/).entries()) {
    bubble.append(place % 2 ? link(part, "", part) : part);
  }
  return bubble;
}

function choicesOf(choices) {
  const list = make("div", "choices");
  for (const choice of choices) {
    const button = choice.url ? link(choice.url, "", choice.label) : make("button", "", choice.label);
    if (!choice.url) Object.assign(button, { type: "button" }).dataset.say = choice.say;
    list.append(button);
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
    const held = document.activeElement?.closest(".choices");
    for (const old of log.querySelectorAll(".choices")) old.remove();
    if (held) log.focus({ preventScroll: true });
    if (entry.choices) said.append(choicesOf(entry.choices));
  }
  empty.remove();
  log.append(said);
  if (atEnd || entry.mine) log.scrollTop = log.scrollHeight;
}

function mark(key, text, failed) {
  const line = document.querySelector(`#m${key} .mark`);
  if (!line) return;
  line.textContent = text;
  line.classList.toggle("failed", Boolean(failed));
}

function think(on) {
  log.querySelector(".thinking")?.remove();
  if (!on) return;
  const dots = make("div", "thinking");
  dots.setAttribute("aria-hidden", "true");
  dots.append(make("i", ""), make("i", ""), make("i", ""));
  log.append(dots);
  log.scrollTop = log.scrollHeight;
}

function say(text) {
  const item = { key: newKey(), text: text.trim() };
  if (!item.text) return;
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
      const { status, wait, data } = item.key ? await call("POST", "send", item) : await call("POST", "open", item);
      think(false);
      if (status === 429) {
        tell(data.message, true);
        mark(item.key, words.later);
        await pause(wait);
        continue;
      }
      unsent.shift();
      keep();
      tell(words.online, false);
      mark(item.key, status === 200 ? "" : data.message, status !== 200);
      for (const answer of data.answers || []) show(answer);
      delay = 1;
      fetchWaiting();
    } catch {
      think(false);
      tell(words.reconnecting, true);
      mark(item.key, words.resending);
      await pause(delay);
      delay = Math.min(delay * 2, 15);
    }
  }
  sending = false;
}

// Fetch what comes outside of an answer for as long as the page is looked at; `after` says what has arrived here.
async function fetchWaiting() {
  if (fetching) return;
  fetching = true;
  for (let after = 0, delay = 1; ; ) {
    if (document.hidden) {
      await pause(60);
      continue;
    }
    const began = Date.now();
    try {
      const { status, wait, data } = await call("GET", `waiting?after=${after}`, undefined, 40);
      if (status === 200 && !data.guest) break;
      if (!sending) tell(words.online, false);
      delay = 1;
      for (const answer of data.answers || []) {
        show(answer);
        after = Math.max(after, answer.id);
      }
      if (status !== 200) await pause(wait);
      else if (!data.answers.length && Date.now() - began < 1000) await pause(2);
    } catch {
      tell(words.reconnecting, true);
      await pause(delay);
      delay = Math.min(delay * 2, 15);
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

async function start() {
  for (let delay = 1; !ready; delay = Math.min(delay * 2, 15)) {
    try {
      const { status, data } = await call("GET", "history");
      if (status !== 200) throw new Error(`status ${status}`);
      log.setAttribute("aria-live", "off");
      for (const entry of data.messages) show(entry);
      ready = true;
      if (!data.messages.length || root.dataset.scene) openAtFirstSign();
      if (data.guest) fetchWaiting();
    } catch {
      tell(words.reconnecting, true);
      await pause(delay);
    }
  }
  for (const item of unsent) if (item.key) show({ mine: true, id: item.key, text: item.text }, words.resending);
  log.scrollTop = log.scrollHeight;
  tell(words.online, false);
  setTimeout(() => log.setAttribute("aria-live", "polite"), 500);
  send();
}

log.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-say]");
  if (button) say(button.dataset.say);
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

document.getElementById("chat-plain").hidden = true;
document.getElementById("chat-starters").hidden = false;
form.querySelector("fieldset").disabled = false;
start();
