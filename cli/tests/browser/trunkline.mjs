// Starts the real command: relays, agents, and a small web server for them to reach.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** How long anything may take on a machine that is busy. */
export const PATIENCE = 60_000;

const program = process.env.TRUNKLINE;
if (!program) throw new Error("TRUNKLINE names the program to test; cargo test --test browser sets it");

const running = new Set();
const folder = mkdtempSync(join(tmpdir(), "trunkline-page-"));

/** Kills whatever is still there. */
export function cleanUp() {
  for (const child of running) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}

/** A file that only its owner reads, as tokens want it; gives its path. */
export function secretFile(name, text) {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

/** A process of ours, with what it said. */
class Process {
  constructor(args) {
    this.said = "";
    this.waiting = new Set();
    const env = { ...process.env, PS1: "$ ", SHELL: "/bin/sh", ENV: "", HOME: folder };
    for (const name of Object.keys(env)) if (name.startsWith("TRUNKLINE")) delete env[name];
    this.child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env, cwd: folder });
    running.add(this.child);
    const hear = (data) => {
      this.said += data;
      for (const look of this.waiting) look();
    };
    this.child.stdout.setEncoding("utf8").on("data", hear);
    this.child.stderr.setEncoding("utf8").on("data", hear);
    this.over = new Promise((resolve) => {
      this.child.on("error", (error) => {
        this.said += error.message;
        resolve();
      });
      this.child.on("close", resolve);
    }).then(() => running.delete(this.child));
  }

  /** Waits until it says something that fits `pattern`. */
  async says(pattern) {
    return new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`${why} before it said ${pattern}; it said: ${this.said}`));
      const late = setTimeout(() => fail("time was over"), PATIENCE);
      const look = () => {
        const found = pattern.exec(this.said);
        if (found === null) return;
        clearTimeout(late);
        this.waiting.delete(look);
        resolve(found);
      };
      this.waiting.add(look);
      this.over.then(() => fail("it ended"));
      look();
    });
  }

  async kill() {
    this.child.kill("SIGKILL");
    await this.over;
  }
}

/** A relay on loopback; `port` 0 is any. Its `url` ends with a slash. */
export async function startRelay({ port = 0, args = [] } = {}) {
  const relay = new Process(["relay", "--listen", `127.0.0.1:${port}`, ...args]);
  const [, told] = await relay.says(/http:\/\/127\.0\.0\.1:([1-9]\d*)/);
  relay.port = Number(told);
  relay.url = `http://127.0.0.1:${told}/`;
  return relay;
}

/**
 * A relay on a port that nobody is given by chance, so that it can be started there again: below the
 * ports that the system gives to whoever dials.
 */
export async function startRelayToRestart() {
  for (let turn = 0; ; turn += 1) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    try {
      return await startRelay({ port });
    } catch (error) {
      // Most likely taken; twenty times is no chance any more.
      if (turn === 20) throw error;
    }
  }
}

/** An agent that joins `relay` as `id`, with a shell and the web server at `target`. */
export function startAgent(relay, id, target, args = []) {
  const url = relay.url.replace("http:", "ws:");
  return new Process(["join", url, "--id", id, "--http", target, "--shell", ...args]);
}

/** The web server behind an agent: answers every path with a page that names it; `HOST:PORT`. */
export async function startTarget() {
  const server = createServer((request, response) => {
    response.setHeader("content-type", "text/html; charset=utf-8");
    response.end(`<!doctype html><title>target</title><h1>target at ${request.url.replace(/[^\w/]/g, "")}</h1>`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return { server, address: `127.0.0.1:${server.address().port}` };
}
