// Debian's Chromium, headless, and what the tests ask of a page.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { PATIENCE } from "./trunkline.mjs";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Starts the browser; an error when there is none. */
export async function startBrowser() {
  const executablePath = CHROMIUM.find(existsSync);
  if (executablePath === undefined) throw new Error(`no ${CHROMIUM.join(", ")}: install Debian's package chromium`);
  return chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"],
    timeout: PATIENCE,
  });
}

/**
 * Runs `body` with a fresh page, which has no cookies of other tests. What the browser complains of
 * fails the test: an error in a script, or something that the page's own policy forbids.
 */
export async function withPage(browser, options, body) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (line) => {
    if (/Content.Security.Policy|Refused to/i.test(line.text())) complaints.push(line.text());
  });
  try {
    await body(page, context);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

/** The card of the machine `id`. */
export function card(page, id) {
  return page.locator(`#list > li[data-id="${id}"]`);
}

/** Waits until the text of `locator` fits `pattern`, and gives it. */
export async function reads(locator, pattern) {
  const end = Date.now() + PATIENCE;
  let text = "";
  while (Date.now() < end) {
    try {
      text = (await locator.allTextContents()).join("\n").replaceAll("\u00a0", " ");
    } catch (error) {
      // Between two pages there is nothing to read.
      if (!/context was destroyed|navigat/i.test(error.message)) throw error;
      text = "";
    }
    if (pattern.test(text)) return text;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new assert.AssertionError({ message: `nothing fits ${pattern} in: ${text}` });
}

/** The lines on the terminal's screen. */
export function screen(page) {
  return page.locator(".xterm-rows > div");
}

/** Opens a terminal on `id` by mouse and waits for the shell's prompt. */
export async function openTerminal(page, id) {
  await card(page, id).getByRole("button", { name: /terminal/i }).click();
  await reads(page.locator("#terminal-state"), /^connected$/);
  await reads(screen(page), /[$#] *$/m);
}

/** Types a line into whatever has the focus. */
export async function type(page, line) {
  await page.keyboard.type(line);
  await page.keyboard.press("Enter");
}

/** The page is no wider than its window. */
export async function fitsItsWidth(page, what) {
  const [width, room] = await page.evaluate(() => {
    const root = document.documentElement;
    const widths = [...document.querySelectorAll("body *")]
      .filter((element) => element.getClientRects().length > 0 && !element.closest(".xterm, .unseen, .skip"))
      .map((element) => element.getBoundingClientRect().right);
    return [Math.max(root.scrollWidth, ...widths), root.clientWidth];
  });
  assert.ok(width <= room + 0.5, `${what}: ${width} px wide in a window of ${room} px`);
}

/** The contrast between the text of `selector` and what is behind it, as WCAG counts it. */
export async function contrast(page, selector) {
  return page.locator(selector).first().evaluate((element) => {
    const parse = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
    const light = (colour) => {
      const [r, g, b] = parse(colour).map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let behind = element;
    const seen = (e) => { const c = parse(getComputedStyle(e).backgroundColor); return c.length === 3 || c[3] === 1; };
    while (behind !== null && !seen(behind)) behind = behind.parentElement;
    const [a, b] = [light(getComputedStyle(element).color), light(getComputedStyle(behind ?? document.body).backgroundColor)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
}
