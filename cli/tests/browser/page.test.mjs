// The relay's page as people meet it: the real relay, real agents, a real browser.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { card, contrast, fitsItsWidth, openTerminal, reads, screen, startBrowser, type, withPage } from "./browser.mjs";
import { cleanUp, secretFile, startAgent, startRelay, startRelayToRestart, startTarget } from "./trunkline.mjs";

let browser;
let relay;
let target;

// Whoever started us holds our input open: when they are gone, so are we, and what we started.
process.stdin.on("end", () => {
  cleanUp();
  process.exit(1);
});
process.stdin.resume();
process.stdin.unref?.();
// Nothing here takes minutes; what hangs is to fail, and not to hold up everything behind it.
setTimeout(() => {
  console.error("the tests hang");
  cleanUp();
  process.exit(1);
}, 600_000).unref();

before(async () => {
  target = await startTarget();
  [browser, relay] = await Promise.all([startBrowser(), startRelay()]);
});

after(async () => {
  await browser?.close();
  cleanUp();
});

test("the vendored files are those of the packages", () => {
  const pairs = {
    "xterm.mjs": "xterm/lib/xterm.mjs",
    "xterm.css": "xterm/css/xterm.css",
    "LICENSE-xterm": "xterm/LICENSE",
    "addon-fit.mjs": "addon-fit/lib/addon-fit.mjs",
    "LICENSE-addon-fit": "addon-fit/LICENSE",
  };
  for (const [ours, theirs] of Object.entries(pairs)) {
    const read = (path) => readFileSync(new URL(path, import.meta.url));
    const same = read(`../../assets/relay/vendor/${ours}`).equals(read(`node_modules/@xterm/${theirs}`));
    assert.ok(same, `${ours} is not ${theirs} of the version in package.json`);
  }
});

test("an empty relay says what to type, and the list fills by itself", async () => {
  await withPage(browser, {}, async (page) => {
    await page.goto(relay.url);
    const host = new URL(relay.url).host;
    await reads(page.locator("#join"), new RegExp(`^trunkline join ws://${host}/ --id `));
    const agent = startAgent(relay, "fills", target.address);
    await card(page, "fills").waitFor();
    await reads(card(page, "fills").locator(".state"), /^joined/);
    await reads(card(page, "fills").locator(".facts"), / · .*CPU/);
    assert.equal(await page.locator("#empty").isVisible(), false);
    await agent.kill();
  });
});

test("the name of a machine leads to its web page", async () => {
  const agent = startAgent(relay, "web", target.address);
  await withPage(browser, {}, async (page) => {
    await page.goto(relay.url);
    await card(page, "web").getByRole("link", { name: "web", exact: true }).click();
    await reads(page.locator("h1"), /^target at \/$/);
  });
  await agent.kill();
});

test("a machine leaves and comes back under the reader's eyes", async () => {
  const first = startAgent(relay, "comes-back", target.address);
  await withPage(browser, {}, async (page) => {
    await page.goto(relay.url);
    const state = card(page, "comes-back").locator(".state");
    await reads(state, /^joined/);
    await first.kill();
    await reads(state, /^left/);
    const second = startAgent(relay, "comes-back", target.address);
    await reads(state, /^joined/);
    await reads(page.locator("#news"), /comes-back left.*comes-back is back/s);
    await second.kill();
  });
});

test("a command typed into the terminal answers, and the exit code is told", async () => {
  const agent = startAgent(relay, "typed", target.address);
  await withPage(browser, {}, async (page) => {
    await page.goto(relay.url);
    await openTerminal(page, "typed");
    await type(page, "echo sum=$((6 * 7)); printf '\\033[31mred\\033[0m\\n'");
    await reads(screen(page), /sum=42/);
    await page.locator(".xterm-rows span.xterm-fg-1", { hasText: "red" }).waitFor();
    await type(page, "exit 3");
    await reads(page.locator("#terminal-state"), /^exit code 3$/);
    await page.getByRole("button", { name: "Reconnect" }).click();
    await reads(page.locator("#terminal-state"), /^connected$/);
    await type(page, "echo again=$((40 + 4))");
    await reads(screen(page), /again=44/);
  });
  await agent.kill();
});

test("a flood of output is shown at the page's own pace, and can be interrupted", async () => {
  const agent = startAgent(relay, "flood", target.address);
  await withPage(browser, {}, async (page) => {
    await page.goto(relay.url);
    await openTerminal(page, "flood");
    await type(page, "yes flooding");
    await reads(screen(page), /^flooding *$/m);
    await page.keyboard.press("Control+C");
    // Whatever was under way is drawn before the answer is.
    await type(page, "echo after=$((2 * 4))");
    await reads(screen(page), /after=8/);
    await reads(page.locator("#terminal-state"), /^connected$/);
  });
  await agent.kill();
});

test("a browser that cannot slow its sender down has a terminal too", async () => {
  const agent = startAgent(relay, "older", target.address);
  await withPage(browser, {}, async (page) => {
    await page.addInitScript(() => delete globalThis.WebSocketStream);
    await page.goto(relay.url);
    await openTerminal(page, "older");
    assert.equal(await page.evaluate(() => "WebSocketStream" in globalThis), false);
    await type(page, "echo older=$((6 * 8)); exit 4");
    await reads(screen(page), /older=48/);
    await reads(page.locator("#terminal-state"), /^exit code 4$/);
  });
  await agent.kill();
});

test("the terminal over there follows the window's size", async () => {
  const agent = startAgent(relay, "resized", target.address);
  await withPage(browser, {}, async (page) => {
    await page.goto(relay.url);
    await openTerminal(page, "resized");
    const asked = async (mark) => {
      await type(page, `echo ${mark}=$(stty size)`);
      const pattern = new RegExp(`${mark}=(\\d+) (\\d+)`);
      const [, rows, columns] = pattern.exec(await reads(screen(page), pattern));
      return { rows: Number(rows), columns: Number(columns) };
    };
    const large = await asked("large");
    assert.equal(large.rows, await screen(page).count());
    await page.setViewportSize({ width: 700, height: 500 });
    // The terminal has the new size first; what is asked after that must come to agree.
    while ((await screen(page).count()) >= large.rows) await page.waitForTimeout(20);
    const fitted = await screen(page).count();
    let small = await asked("small");
    for (let turn = 0; small.rows !== fitted && turn < 50; turn += 1) small = await asked(`small${turn}`);
    assert.equal(small.rows, fitted);
    assert.ok(small.columns < large.columns, `${small.columns} columns, ${large.columns} before`);
  });
  await agent.kill();
});

test("everything can be done by keyboard, and focus comes back", async () => {
  const agent = startAgent(relay, "keys", target.address);
  await withPage(browser, {}, async (page) => {
    await page.goto(relay.url);
    await card(page, "keys").waitFor();
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? "");
    for (let turn = 0; (await focused()) !== "Open a terminal on keys"; turn += 1) {
      assert.ok(turn < 40, "Tab does not lead to the terminal's button");
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await reads(page.locator("#terminal-state"), /^connected$/);
    await reads(screen(page), /[$#] *$/m);
    // Esc and Tab are the shell's.
    await page.keyboard.press("Escape");
    await page.keyboard.press("Tab");
    assert.ok(await page.locator("#terminal").isVisible());
    assert.ok(await page.evaluate(() => document.activeElement.closest("#screen") !== null));
    await page.keyboard.press("Control+Shift+X");
    assert.equal(await page.evaluate(() => document.activeElement.id), "close");
    await page.keyboard.press("Escape");
    await page.locator("#terminal").waitFor({ state: "hidden" });
    assert.equal(await focused(), "Open a terminal on keys");
  });
  await agent.kill();
});

test("a wrong token is refused, the right one lets in, and logging out ends it", async () => {
  const file = secretFile("login", "open-sesame-7f3a\n");
  const locked = await startRelay({ args: ["--login-token-file", file] });
  await withPage(browser, {}, async (page, context) => {
    const refused = await page.request.get(`${locked.url}-/api/agents`);
    assert.equal(refused.status(), 401);
    await page.goto(locked.url);
    await page.getByLabel("Token").fill("open-sesame-7f3b");
    await page.keyboard.press("Enter");
    await reads(page.locator("#login-error"), /not right/);
    assert.deepEqual(await context.cookies(), []);
    await page.getByLabel("Token").fill("open-sesame-7f3a");
    await page.getByRole("button", { name: "Log in" }).click();
    await reads(page.locator("#link"), /^live$/);
    const [cookie] = await context.cookies();
    assert.equal(cookie.name, "trunkline_session");
    assert.ok(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.value.includes("sesame"), JSON.stringify(cookie));
    await page.reload();
    await reads(page.locator("#link"), /^live$/);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Token").waitFor();
    assert.equal((await page.request.get(`${locked.url}-/api/agents`)).status(), 401);
  });
  await locked.kill();
});

test("whoever opens a machine's page first logs in there, and stays", async () => {
  const locked = await startRelay({ args: ["--login-token-file", secretFile("first", "open-sesame-7f3c\n")] });
  const agent = startAgent(locked, "shut", target.address);
  await agent.says(/joined as shut/);
  await withPage(browser, {}, async (page) => {
    const answer = await page.goto(`${locked.url}shut/below`);
    assert.equal(answer.status(), 401);
    await page.getByLabel("Token").fill("open-sesame-7f3c");
    await page.keyboard.press("Enter");
    await reads(page.locator("h1"), /^target at \/below$/);
  });
  await agent.kill();
  await locked.kill();
});

test("a lost relay is told, and the page finds it again", async () => {
  const first = await startRelayToRestart();
  const agent = startAgent(first, "stays", target.address);
  await withPage(browser, {}, async (page) => {
    await page.goto(first.url);
    await reads(card(page, "stays").locator(".state"), /^joined/);
    await first.kill();
    await reads(page.locator("#link"), /lost, trying again/);
    const second = await startRelay({ port: first.port });
    await reads(page.locator("#link"), /^live$/);
    await reads(card(page, "stays").locator(".state"), /^joined/);
    await second.kill();
  });
  await agent.kill();
});

test("where something on the way holds events back, the page asks", async () => {
  const agent = startAgent(relay, "early", target.address);
  await withPage(browser, {}, async (page) => {
    // Never answered, as by a proxy that waits for the end of the answer.
    await page.route("**/-/api/events", () => {});
    await page.goto(relay.url);
    await reads(card(page, "early").locator(".state"), /^joined/);
    await agent.kill();
    await reads(card(page, "early").locator(".state"), /^left/);
    await reads(page.locator("#link"), /^live$/);
  });
});

test("what a hostile machine says of itself is text", async () => {
  const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
  const agent = {
    id: `a"><b>x`, hostname: hostile, os: hostile, platform: hostile, arch: hostile, version: hostile, address: hostile,
    relay: hostile, last_error: hostile, errors: 1, cpus: 1e308, memory: -1, since_ms: "soon", streams: null,
    rate: { up: "fast", down: NaN }, forwards: [hostile, {}, 7], http: true, shell: true,
  };
  const told = JSON.stringify({ relay: { version: hostile, name: hostile, started_ms: null }, agents: [agent, null, 7, { id: {} }] });
  await withPage(browser, {}, async (page) => {
    await page.route("**/-/api/agents", (route) => route.fulfill({ contentType: "application/json", body: told }));
    const event = `event: agents\ndata: ${told}\n\n`;
    await page.route("**/-/api/events", (route) => route.fulfill({ contentType: "text/event-stream", body: event }));
    await page.goto(relay.url);
    await reads(page.locator(".card .facts"), /<img src=x onerror=/);
    assert.equal(await page.locator(".card").count(), 1);
    assert.equal(await page.locator("#main img, #main script, .card b").count(), 0);
    assert.equal(await page.locator(".card .id").getAttribute("href"), "/a%22%3E%3Cb%3Ex/");
    assert.doesNotMatch(await page.title(), /^owned/);
    await page.setViewportSize({ width: 320, height: 640 });
    await fitsItsWidth(page, "hostile names");
  });
});

test("a window of 320 pixels needs no scrolling sideways", async () => {
  const id = `a-machine-with-a-long-name-${"0123456789".repeat(3)}`;
  const agent = startAgent(relay, id, target.address);
  await withPage(browser, { viewport: { width: 320, height: 640 } }, async (page) => {
    await page.goto(relay.url);
    await card(page, id).waitFor();
    await fitsItsWidth(page, "the list");
    await openTerminal(page, id);
    await fitsItsWidth(page, "the terminal");
    await type(page, "echo narrow=$((1 + 1))");
    await reads(screen(page), /narrow=2/);
  });
  await agent.kill();
});

for (const colorScheme of ["light", "dark"]) {
  test(`text can be read in ${colorScheme}`, async () => {
    const agent = startAgent(relay, "colours", target.address);
    await withPage(browser, { colorScheme }, async (page) => {
      await page.goto(relay.url);
      await card(page, "colours").waitFor();
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
      assert.equal(ground.every((part) => part > 128), colorScheme === "light", String(ground));
      for (const selector of ["h1", "h2", "#summary", "#link", ".card .id", ".state", ".facts", ".ways", ".card dt", ".card dd", "a.open", ".shell"]) {
        const found = await contrast(page, selector);
        assert.ok(found >= 4.5, `${selector}: ${found.toFixed(2)}`);
      }
    });
    await agent.kill();
  });
}

// Only when asked for: the picture is part of the documentation, and this takes a minute.
if (process.env.TRUNKLINE_SCREENSHOT) test("a picture of the page is taken", async () => {
  const shown = await startRelay();
  const agents = ["box1", "build-7", "lab-pi", "shop"].map((id) => startAgent(shown, id, target.address));
  await withPage(browser, { viewport: { width: 1180, height: 720 } }, async (page) => {
    await page.goto(shown.url);
    for (const id of ["box1", "build-7", "lab-pi", "shop"]) await card(page, id).waitFor();
    // A little traffic, so that the lines have something to show.
    for (let turn = 0; turn < 60; turn += 1) {
      const many = 1 + Math.round(6 + 5 * Math.sin(turn / 4));
      await Promise.all(Array.from({ length: many }, (_, i) => fetch(`${shown.url}${["box1", "build-7"][i % 2]}/`).then((r) => r.text())));
      await page.waitForTimeout(1000);
    }
    await page.screenshot({ path: process.env.TRUNKLINE_SCREENSHOT });
  });
  await Promise.all(agents.map((agent) => agent.kill()));
  await shown.kill();
});
