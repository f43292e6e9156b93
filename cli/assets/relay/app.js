// The relay's own page: who is joined, kept up to date by events, and a terminal to each.

import { Machines } from "./cards.js";
import { count, number, rate, span, text } from "./format.js";
import { open as openTerminal, shut as shutTerminal } from "./terminal.js";

/** Until the first event must be there; else something on the way holds events back, and we ask. */
const FIRST_EVENT = 5_000;
/** How often we ask when events do not come. */
const ASKED = 2_000;
/** Without an event for so long we ask once, to notice a relay that went away without a word. */
const SILENCE = 15_000;
/** Between attempts: doubling from the first to the last. */
const RETRY = [1_000, 10_000];
/** How long an answer may take. */
const PATIENCE = 10_000;
/** How many cards are worth a filter. */
const MANY = 8;

const $ = (id) => document.getElementById(id);
const machines = new Machines($("list"), $("news"), (id) => {
  if (machines.has(id)) openTerminal(id);
});

let state = null; // the last that the relay told
let skew = 0; // the relay's clock minus ours
let events = null;
let timer = 0;
let wait = RETRY[0];
let asking = null;

/** Asks once, and then listens; whatever fails leads back here. */
async function connect() {
  stop();
  const answer = await ask();
  if (answer === "stale") return;
  if (answer === "refused") return showLogin();
  if (answer === "lost") return lost();
  live();
  listen();
}

/** Asks for the list and draws it: "ok", "refused", "lost", or "stale" when it was asked anew. */
async function ask() {
  asking?.abort();
  const mine = new AbortController();
  asking = mine;
  const deadline = setTimeout(() => mine.abort(), PATIENCE);
  let outcome = "lost";
  try {
    const response = await fetch("/-/api/agents", { signal: mine.signal, cache: "no-store" });
    if (response.status === 401) {
      outcome = "refused";
    } else if (response.ok) {
      const told = await response.json();
      const date = Date.parse(response.headers.get("date") ?? "");
      // The header counts whole seconds: smaller differences are no difference.
      const ahead = Number.isNaN(date) ? 0 : date - Date.now();
      skew = Math.abs(ahead) > 2_000 ? ahead : 0;
      if (asking === mine) show(told);
      outcome = "ok";
    }
  } catch {
    // Unreachable, too late, or no JSON: lost.
  } finally {
    clearTimeout(deadline);
  }
  return asking === mine ? outcome : "stale";
}

function listen() {
  const mine = new EventSource("/-/api/events");
  events = mine;
  let heard = false;
  const watch = (delay) => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      if (events !== mine) return;
      const answer = await ask();
      if (events !== mine || answer === "stale") return;
      if (answer !== "ok") return answer === "refused" ? connect() : lost();
      watch(heard ? SILENCE : ASKED);
    }, delay);
  };
  mine.addEventListener("agents", ({ data }) => {
    if (events !== mine) return;
    try {
      show(JSON.parse(data));
    } catch {
      return;
    }
    heard = true;
    watch(SILENCE);
  });
  // The browser would try again by itself, but not after a refusal, and without a word to us.
  mine.onerror = () => {
    if (events === mine) lost();
  };
  watch(FIRST_EVENT);
}

function stop() {
  events?.close();
  events = null;
  clearTimeout(timer);
}

function lost() {
  stop();
  say("lost", "connection to the relay lost, trying again");
  timer = setTimeout(connect, wait);
  wait = Math.min(wait * 2, RETRY[1]);
}

function live() {
  wait = RETRY[0];
  say("live", "live");
  $("login").hidden = true;
  $("machines").hidden = false;
}

function say(name, words) {
  const link = $("link");
  link.dataset.state = name;
  if (link.textContent !== words) link.textContent = words;
}

function show(told) {
  if (told === null || typeof told !== "object" || !Array.isArray(told.agents)) throw new TypeError("no list");
  const agents = told.agents.filter((agent) => typeof agent?.id === "string");
  state = { agents, relay: told.relay ?? {} };
  const hidden = machines.update(agents, state.relay, now());
  around(hidden);
}

/** Everything but the cards. */
function around(hidden) {
  const { relay } = state;
  const name = text(relay.name, 60) || "relay";
  put("relay-name", name);
  document.title = `${name} · Trunkline`;
  const agents = state.agents;
  const sum = (of) => agents.reduce((total, agent) => total + number(of(agent)), 0);
  const parts = [`${count(machines.joined)} joined`];
  if (agents.length > 0) {
    const streams = sum((a) => a.streams?.live);
    parts.push(`${count(streams)} live stream${streams === 1 ? "" : "s"}`);
    parts.push(`${rate(sum((a) => a.rate?.up))} up`, `${rate(sum((a) => a.rate?.down))} down`);
  }
  if (number(relay.started_ms) > 0) parts.push(`relay up ${span(now() - relay.started_ms)}`);
  if (text(relay.version) !== "") parts.push(`version ${text(relay.version, 40)}`);
  put("summary", parts.join(" · "));
  $("empty").hidden = machines.size > 0;
  $("filter-box").hidden = machines.size <= MANY && $("filter").value === "";
  $("more").hidden = hidden === 0;
  put("more", hidden === 0 ? "" : `${count(hidden)} more; type a part of a name to find one`);
}

function put(id, words) {
  const element = $(id);
  if (element.textContent !== words) element.textContent = words;
}

function now() {
  return Date.now() + skew;
}

function showLogin() {
  stop();
  shutTerminal();
  machines.clear();
  remember(false);
  say("login", "not logged in");
  $("machines").hidden = true;
  $("login").hidden = false;
  $("token").focus();
}

/** Whether this browser has logged in: the cookie itself is out of a script's reach. */
function remember(value) {
  $("logout").hidden = !value;
  try {
    if (value) localStorage.setItem("trunkline-login", "1");
    else localStorage.removeItem("trunkline-login");
  } catch {
    // Storage may be forbidden; then the button is there until the page is loaded again.
  }
}

function remembered() {
  try {
    return localStorage.getItem("trunkline-login") === "1";
  } catch {
    return false;
  }
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  if (button.disabled) return;
  button.disabled = true;
  put("login-error", "");
  try {
    const body = new URLSearchParams({ token: $("token").value });
    const response = await fetch("/-/login", { method: "POST", body });
    if (response.ok) {
      $("token").value = "";
      remember(true);
      // The form stands at the address of a machine's page too, for whoever came there first.
      if (location.pathname !== "/") return location.reload();
      await connect();
      $("main").focus();
      return;
    }
    put("login-error", refusal(response.status));
  } catch {
    put("login-error", "The relay cannot be reached. Try again in a moment.");
  } finally {
    button.disabled = false;
  }
  $("token").select();
});

function refusal(status) {
  if (status === 401) return "This token is not right.";
  if (status === 429) return "Too many attempts. Wait a minute and try again.";
  return `The relay refused to log in (${status}).`;
}

$("logout").addEventListener("click", async () => {
  try {
    const response = await fetch("/-/logout", { method: "POST" });
    if (response.ok) showLogin();
  } catch {
    lost();
  }
});

$("filter").addEventListener("input", (event) => {
  if (state !== null) around(machines.filter(event.target.value, now()));
});

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
put("join", `trunkline join ${scheme}//${location.host}/ --id box1 --token-file box1.token --http 127.0.0.1:3000 --shell`);

$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("join").textContent);
    put("copy", "Copied");
  } catch {
    // No clipboard outside of HTTPS and loopback: what is selected can be copied by hand.
    getSelection().selectAllChildren($("join"));
    put("copy", "Selected");
  }
  setTimeout(() => put("copy", "Copy"), 2_000);
});

// Ages and lines go on between events.
setInterval(() => {
  if (state === null || document.hidden || $("machines").hidden) return;
  machines.sample();
  around(machines.draw(now()));
}, 2_000);

$("logout").hidden = !remembered();
connect();
