// The list of machines: one card for each, made once and changed in place, so that focus stays.
// What a machine says of itself may be hostile: it becomes text content, never markup.

import { bytes, count, memory, number, perSecond, rate, span, text } from "./format.js";

/** How long a machine that left is still shown. */
const REMEMBERED = 10 * 60_000;
/** How many cards are drawn; the filter leads to the rest. */
const DRAWN = 200;
/** How many points a card's line has. */
const POINTS = 60;
/** Bytes a second at the top of a line that moves less: heartbeats are no traffic. */
const LITTLE = 1_000;

const template = document.getElementById("card");
let made = 0;

/** The machines of this relay, as far as this page has seen them. */
export class Machines {
  #list;
  #news;
  #onShell;
  #known = new Map();
  #filter = "";
  #first = true;

  /** Draws into `list`, tells comings and goings to `news`; `onShell(id)` opens a terminal. */
  constructor(list, news, onShell) {
    this.#list = list;
    this.#news = news;
    this.#onShell = onShell;
  }

  /** How many are joined. */
  get joined() {
    return this.#all().filter((m) => m.left === null).length;
  }

  /** How many are joined, or left lately. */
  get size() {
    return this.#known.size;
  }

  /** Whether `id` is joined. */
  has(id) {
    return this.#known.get(id)?.left === null;
  }

  /** Takes what the relay tells of `agents` and of itself, `about`; `now` is the relay's time. */
  update(agents, about, now) {
    const seen = new Set();
    for (const agent of agents) {
      const id = agent?.id;
      if (typeof id !== "string" || id === "" || seen.has(id)) continue;
      seen.add(id);
      const known = this.#known.get(id);
      if (known === undefined) {
        this.#known.set(id, { id, agent, about, left: null, points: [], card: null });
        this.#tell(`${id} joined`);
      } else {
        if (known.left !== null) this.#tell(`${id} is back`);
        Object.assign(known, { agent, about, left: null });
      }
    }
    for (const machine of this.#all()) {
      if (seen.has(machine.id)) continue;
      if (machine.left === null) {
        machine.left = now;
        this.#tell(`${machine.id} left`);
      } else if (now - machine.left > REMEMBERED) {
        this.#known.delete(machine.id);
      }
    }
    this.#first = false;
    return this.draw(now);
  }

  /** Forgets everything, as after logging out. */
  clear() {
    this.#known.clear();
    this.#first = true;
    this.#list.replaceChildren();
  }

  /** Shows only machines in whose name or facts `words` stand. */
  filter(words, now) {
    this.#filter = words.trim().toLowerCase();
    return this.draw(now);
  }

  /** One more point on each line. */
  sample() {
    for (const machine of this.#all()) {
      const { rate } = machine.agent;
      machine.points.push(machine.left === null ? number(rate?.up) + number(rate?.down) : 0);
      if (machine.points.length > POINTS) machine.points.shift();
    }
  }

  /** Draws the cards as of `now`; gives how many fit the filter and were not drawn. */
  draw(now) {
    const all = this.#all().filter((m) => this.#fits(m));
    all.sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }) || (a.id < b.id ? -1 : 1));
    const shown = new Set(all.slice(0, DRAWN));
    for (const machine of shown) {
      machine.card ??= makeCard(machine.id, this.#onShell);
      fill(machine, now);
    }
    const cards = [...shown].map((m) => m.card.item);
    // Cards are moved only where the order changed: moving one would take its focus.
    for (const child of [...this.#list.children]) {
      if (!cards.includes(child)) child.remove();
    }
    cards.forEach((card, at) => {
      if (this.#list.children[at] !== card) {
        this.#list.insertBefore(card, this.#list.children[at] ?? null);
      }
    });
    return all.length - shown.size;
  }

  #all() {
    return [...this.#known.values()];
  }

  #fits({ id, agent }) {
    if (this.#filter === "") return true;
    const told = [id, agent.hostname, agent.os, agent.platform, agent.relay, agent.version];
    return told.some((word) => typeof word === "string" && word.toLowerCase().includes(this.#filter));
  }

  #tell(line) {
    // The first list is read as a list, not as a hundred arrivals.
    if (this.#first) return;
    const item = document.createElement("span");
    item.textContent = text(line, 80);
    this.#news.append(item);
    while (this.#news.childElementCount > 5) this.#news.firstElementChild.remove();
  }
}

function makeCard(id, onShell) {
  const item = template.content.firstElementChild.cloneNode(true);
  const part = (name) => item.querySelector(`.${name}`);
  const card = { item, part };
  const title = item.querySelector("h3");
  made += 1;
  title.id = `machine-${made}`;
  item.querySelector("article").setAttribute("aria-labelledby", title.id);
  item.dataset.id = id;
  write(part("id"), id);
  part("open").setAttribute("aria-label", `Open the web page of ${id}`);
  part("shell").setAttribute("aria-label", `Open a terminal on ${id}`);
  part("shell").addEventListener("click", () => onShell(id));
  return card;
}

function fill({ id, agent, about, left, points, card }, now) {
  const { item, part } = card;
  const here = left === null;
  item.firstElementChild.classList.toggle("gone", !here);
  write(part("state"), here ? arrived(agent, now) : `left ${span(now - left)} ago`);
  write(part("facts"), facts(agent));
  write(part("ways"), ways(agent, about));
  // Another relay counts what goes through it, and does not tell us.
  const shown = (of, words) => (of === null || of === undefined ? "–" : words(here ? of : 0));
  write(part("streams"), shown(agent.streams?.live, count));
  write(part("requests"), shown(agent.rate?.requests, perSecond));
  write(part("up"), shown(agent.rate?.up, rate));
  write(part("down"), shown(agent.rate?.down, rate));
  part("up").title = `to the machine; ${bytes(agent.bytes?.up)} since it joined`;
  part("down").title = `from the machine; ${bytes(agent.bytes?.down)} since it joined`;
  part("streams").title = `${count(agent.streams?.opened)} opened, ${count(agent.streams?.failed)} failed`;
  write(part("trouble"), trouble(agent));
  const page = here && agent.http !== false ? address(id, about.domain) : null;
  for (const link of [part("id"), part("open")]) {
    if (page === null) link.removeAttribute("href");
    else if (link.getAttribute("href") !== page) link.setAttribute("href", page);
  }
  part("open").hidden = page === null;
  part("shell").hidden = agent.shell === false;
  // `disabled` would throw focus away when a machine leaves for a second.
  part("shell").setAttribute("aria-disabled", String(!here));
  part("spark-line").setAttribute("points", line(points));
}

/** Where the machine's web page is: below its name, or at a host name of its own. */
function address(id, domain) {
  const named = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/i.test(id);
  if (typeof domain === "string" && domain !== "" && named) {
    const port = location.port === "" ? "" : `:${location.port}`;
    return `${location.protocol}//${id}.${domain.replace(/:\d+$/, "")}${port}/`;
  }
  return `/${encodeURIComponent(id)}/`;
}

function facts(agent) {
  const system = text(agent.platform, 60) || text(agent.os, 60);
  const parts = [text(agent.hostname, 80), system, text(agent.arch, 20)];
  if (number(agent.cpus) > 0) parts.push(`${count(agent.cpus)} CPU${agent.cpus === 1 ? "" : "s"}`);
  if (number(agent.memory) > 0) parts.push(memory(agent.memory));
  return parts.filter((part) => part !== "").join(" · ");
}

function arrived(agent, now) {
  return number(agent.since_ms) > 0 ? `joined ${span(now - agent.since_ms)} ago` : "joined";
}

function ways(agent, about) {
  const parts = [];
  // Behind a proxy the port is not known.
  const from = text(agent.address, 60).replace(/:0$/, "");
  if (from !== "") parts.push(`from ${from}`);
  if (text(agent.version) !== "") parts.push(`version ${text(agent.version, 40)}`);
  if (agent.dialect === "original") parts.push("speaks the original's three stream types");
  // With one relay its name says nothing.
  if (text(agent.relay) !== "" && agent.relay !== about.name) parts.push(`at ${text(agent.relay, 60)}`);
  const forwards = Array.isArray(agent.forwards) ? agent.forwards.filter((f) => text(f) !== "") : [];
  if (forwards.length > 0) {
    const named = forwards.slice(0, 4).map((f) => text(f, 60)).join(", ");
    parts.push(`forwards to ${named}${forwards.length > 4 ? " and more" : ""}`);
  }
  return parts.join(" · ");
}

function trouble(agent) {
  const errors = number(agent.errors);
  if (errors === 0) return "";
  const last = text(agent.last_error, 160);
  return `${count(errors)} error${errors === 1 ? "" : "s"}${last === "" ? "" : `; the last: ${last}`}`;
}

/** The points of a line in a box of 120 x 28; flat at the bottom when nothing moves. */
function line(points) {
  const most = Math.max(LITTLE, ...points);
  const step = 120 / (POINTS - 1);
  const start = POINTS - points.length;
  return points.map((p, i) => `${((start + i) * step).toFixed(1)},${(26 - (p / most) * 24).toFixed(1)}`).join(" ");
}

function write(element, words) {
  if (element.textContent !== words) element.textContent = words;
}
