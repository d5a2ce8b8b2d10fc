// Runs a job's script with Playwright. The worker is at the other end of the standard input, a socket: JSON, a line each.
import net from 'node:net';
import { rm, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const worker = new net.Socket({ fd: 0, readable: true, writable: true });
const lines = createInterface({ input: worker })[Symbol.asyncIterator]();
const heard = async () => JSON.parse((await lines.next()).value);
const tell = (line) =>
  new Promise((told, failed) => worker.write(`${JSON.stringify(line)}\n`, (error) => (error ? failed(error) : told())));

const progress = (percent, message = '') => tell({ progress: { percent: Number(percent), message: String(message) } });

// One output after the other: each is answered with where it was stored.
let last = Promise.resolve();
let count = 0;
const hand = async (name, content) => {
  const path = typeof content === 'string' ? content : `.output-${(count += 1)}`;
  if (path !== content) await writeFile(path, content);
  await tell({ output: { name: String(name), path } });
  const stored = await heard();
  if (path !== content) await rm(path);
  return stored;
};
const output = (name, content) => (last = last.then(() => hand(name, content)));

let ready = false;
let browser;
try {
  const wish = await heard();
  const { default: script } = await import('./script.mjs');
  if (typeof script !== 'function') throw new TypeError('the script has no default export that is a function');
  ready = true;

  browser = await chromium.connectOverCDP(wish.browser);
  browser.on('disconnected', () => tell({ error: { message: 'the browser is gone', lost: true } }));
  const context = await browser.newContext({ proxy: { server: wish.proxy }, viewport: wish.viewport });
  context.setDefaultTimeout(wish.timeout_ms);
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  const { targetInfo } = await session.send('Target.getTargetInfo');
  await session.detach();
  await tell({ context: targetInfo.browserContextId });

  const result = await script({ page, context, browser, input: wish.input, progress, output });
  await last;
  await tell({ result: result ?? null });
} catch (error) {
  const message = String(error?.stack ?? error);
  await tell({ error: { message, permanent: !ready || error?.permanent === true, lost: browser?.isConnected() === false } });
}
