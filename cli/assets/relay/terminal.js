// The terminal in the page: one dialog, one WebSocket, and xterm.js, which is loaded when first used.

import { dial } from "./wire.js";

const DATA = 0x00;
const RESIZE = 0x01;
const EXIT = 0x02;
/** Bytes that arrived and are not drawn, before the sender is slowed down. */
const AHEAD = 256 << 10;
/** The same where the browser cannot slow it down: then the terminal is closed, or memory would fill. */
const UNDRAWN = 48 << 20;
/** The most that is sent as one message: the agent reads it whole. */
const SENT_AT_ONCE = 4095;

const LIGHT = {
  background: "#ffffff", foreground: "#1b2421", cursor: "#0f6b5c", cursorAccent: "#ffffff", selectionBackground: "#cfe5df",
  black: "#1b2421", red: "#b3261e", green: "#1a7f4b", yellow: "#8a5a00", blue: "#1f5fbf", magenta: "#8e3fa8", cyan: "#0f7285",
  white: "#6b7773", brightBlack: "#56625d", brightRed: "#c8372d", brightGreen: "#218a55", brightYellow: "#986700",
  brightBlue: "#2f6fd0", brightMagenta: "#a04fba", brightCyan: "#168094", brightWhite: "#3a4641",
};
const DARK = {
  background: "#171e1c", foreground: "#e4ebe8", cursor: "#62cdb5", cursorAccent: "#171e1c", selectionBackground: "#2f4a43",
  black: "#2a3330", red: "#ff8f83", green: "#6fd69c", yellow: "#ecc06f", blue: "#84b6ff", magenta: "#d9a0ec", cyan: "#6fd3e0",
  white: "#d3dcd8", brightBlack: "#8a9893", brightRed: "#ffaba2", brightGreen: "#92e4b5", brightYellow: "#f5d597",
  brightBlue: "#a8ccff", brightMagenta: "#e6bdf4", brightCyan: "#98e4ed", brightWhite: "#ffffff",
};

const dialog = document.getElementById("terminal");
const title = document.getElementById("terminal-title");
const state = document.getElementById("terminal-state");
const screen = document.getElementById("screen");
const again = document.getElementById("again");
const close = document.getElementById("close");
const dark = matchMedia("(prefers-color-scheme: dark)");
const encoder = new TextEncoder();
const decoder = new TextDecoder();

let current = null;

/** Opens a terminal on the machine `id`, in place of one that is open. */
export async function open(id) {
  current?.end();
  title.textContent = `Terminal on ${id}`;
  say("loading");
  again.hidden = true;
  if (!dialog.open) dialog.showModal();
  let made;
  try {
    const [{ Terminal }, { FitAddon }] = await Promise.all([import("./xterm.mjs"), import("./addon-fit.mjs")]);
    made = { Terminal, FitAddon };
  } catch {
    say("the terminal could not be loaded from the relay");
    again.hidden = false;
    again.onclick = () => open(id);
    return;
  }
  // Closed, or opened for another machine, while the code was under way.
  if (!dialog.open || title.textContent !== `Terminal on ${id}`) return;
  current?.end();
  current = new Session(id, made);
}

/** Closes the terminal that is open, as when the login has ended. */
export function shut() {
  dialog.close();
}

class Session {
  #id;
  #socket = null;
  #live = false;
  #undrawn = 0;
  #exit = null;
  #terminal;
  #fit;
  #watch;

  constructor(id, { Terminal, FitAddon }) {
    this.#id = id;
    this.#terminal = new Terminal({
      theme: dark.matches ? DARK : LIGHT,
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono").trim(),
      fontSize: 14,
      scrollback: 5000,
      minimumContrastRatio: 4.5,
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    });
    this.#fit = new FitAddon();
    this.#terminal.loadAddon(this.#fit);
    screen.replaceChildren();
    this.#terminal.open(screen);
    this.#fit.fit();
    this.#terminal.attachCustomKeyEventHandler((event) => this.#key(event));
    this.#terminal.onData((data) => this.#type(encoder.encode(data)));
    this.#terminal.onBinary((data) => this.#type(Uint8Array.from(data, (c) => c.charCodeAt(0) & 0xff)));
    this.#terminal.onResize(() => this.#resize());
    this.#watch = new ResizeObserver(() => this.#fit.fit());
    this.#watch.observe(screen);
    again.onclick = () => this.connect();
    this.connect();
  }

  /** Connects, once more too: what was on the screen stays above. */
  connect() {
    const before = this.#socket;
    this.#socket = null;
    before?.close();
    this.#exit = null;
    this.#undrawn = 0;
    again.hidden = true;
    say("connecting");
    const { cols, rows } = this.#terminal;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const path = `/-/terminal/${encodeURIComponent(this.#id)}?cols=${cols}&rows=${rows}`;
    const mine = () => this.#socket === socket;
    const socket = dial(`${scheme}//${location.host}${path}`, {
      opened: () => {
        if (!mine()) return;
        this.#live = true;
        say("connected");
        // The window may have changed while the connection was made.
        if (this.#terminal.cols !== cols || this.#terminal.rows !== rows) this.#resize();
        this.#terminal.focus();
      },
      message: (bytes) => (mine() ? this.#receive(bytes) : null),
      closed: (code, reason) => {
        if (mine()) this.#over(code, reason);
      },
    });
    this.#socket = socket;
    this.#terminal.focus();
  }

  /** Hangs up and gives the screen back. */
  end() {
    const socket = this.#socket;
    this.#socket = null;
    this.#live = false;
    socket?.close();
    this.#watch.disconnect();
    this.#terminal.dispose();
  }

  /** Other colours, when light became dark or back. */
  recolour() {
    this.#terminal.options.theme = dark.matches ? DARK : LIGHT;
  }

  get live() {
    return this.#live;
  }

  /** Takes a message; a promise is given when the next one had better wait. */
  #receive(message) {
    const payload = message.subarray(1);
    if (message[0] === EXIT) this.#exit = told(payload);
    if (message[0] !== DATA) return null;
    this.#undrawn += payload.length;
    if (this.#undrawn > UNDRAWN) {
      this.#exit = "output came faster than this page can show it; the terminal was closed";
      this.#socket.close();
      return null;
    }
    const drawn = new Promise((resolve) => {
      this.#terminal.write(payload, () => {
        this.#undrawn -= payload.length;
        resolve();
      });
    });
    return this.#undrawn > AHEAD ? drawn : null;
  }

  #over(code, reason) {
    this.#live = false;
    this.#socket = null;
    const why = reason === "" ? "the connection was lost" : reason;
    const line = this.#exit ?? (code === 1000 ? "the terminal was closed without an exit code" : why);
    say(line);
    again.hidden = false;
    // What is still to be drawn stands above this line.
    const note = [...line].filter((c) => c >= " " && c !== "\x7f" && !(c >= "\x80" && c < "\xa0")).join("");
    this.#terminal.write(`\x1b[0m\x1b[?25h\r\n\x1b[2m[${note}]\x1b[0m\r\n`);
    if (dialog.open) again.focus();
  }

  #type(bytes) {
    if (!this.#live) return;
    for (let at = 0; at < bytes.length; at += SENT_AT_ONCE) {
      this.#send(DATA, bytes.subarray(at, at + SENT_AT_ONCE));
    }
  }

  #resize() {
    if (!this.#live) return;
    const { cols, rows } = this.#terminal;
    this.#send(RESIZE, encoder.encode(JSON.stringify({ cols, rows })));
  }

  #send(kind, payload) {
    const message = new Uint8Array(payload.length + 1);
    message[0] = kind;
    message.set(payload, 1);
    this.#socket.send(message);
  }

  /** Keys that are the page's and not the shell's. Gives whether the shell gets this one. */
  #key(event) {
    if (!(event.ctrlKey && event.shiftKey) || event.altKey) return true;
    const key = event.key.toLowerCase();
    if (key === "x") {
      event.preventDefault();
      if (event.type === "keydown") close.focus();
      return false;
    }
    if (key === "c" && this.#terminal.hasSelection()) {
      event.preventDefault();
      if (event.type === "keydown") navigator.clipboard?.writeText(this.#terminal.getSelection());
      return false;
    }
    // The browser pastes by itself, which xterm.js notices.
    return key !== "v";
  }
}

/** The exit message in words. */
function told(payload) {
  try {
    const { code, signal, error } = JSON.parse(decoder.decode(payload));
    if (Number.isInteger(code)) return `exit code ${code}`;
    if (Number.isInteger(signal)) return `ended by signal ${signal}`;
    if (typeof error === "string") return error.slice(0, 300);
  } catch {
    // Told below.
  }
  return "the relay ended the terminal with a message that cannot be read";
}

function say(line) {
  state.textContent = line;
}

close.addEventListener("click", () => dialog.close());

// Esc is the shell's while the shell lives; everywhere else in the dialog it closes.
dialog.addEventListener("cancel", (event) => {
  if (current?.live && screen.contains(document.activeElement)) event.preventDefault();
});

dialog.addEventListener("close", () => {
  current?.end();
  current = null;
  screen.replaceChildren();
});

dark.addEventListener("change", () => current?.recolour());
