// Pictures of one dashboard, after every panel has drawn. Exits 1 when a panel shows an error.
//   node shot.mjs --dashboard FILE --out NAME [--prometheus URL] [--theme dark,light] [--width 1600] [--query 'from=now-6h&var-x=y']
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: arg } = parseArgs({
  options: {
    dashboard: { type: 'string' }, out: { type: 'string' }, prometheus: { type: 'string', default: 'http://127.0.0.1:9090' },
    theme: { type: 'string', default: 'dark' }, width: { type: 'string', default: '1600' }, query: { type: 'string', default: '' },
    browser: { type: 'string', default: process.env.CHROMIUM ?? '/usr/bin/chromium' }, 'allow-empty': { type: 'boolean', default: false },
  },
});
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' };

// The built page, the dashboard file and Prometheus behind one origin.
const server = createServer(async (req, res) => {
  const path = new URL(req.url, 'http://x').pathname;
  if (path === '/dashboard.json') return res.end(readFileSync(arg.dashboard));
  if (path.startsWith('/prometheus/')) {
    const chunks = [];
    for await (const c of req) chunks.push(c);
    const answer = await fetch(arg.prometheus + req.url.slice('/prometheus'.length), {
      method: req.method, headers: { 'content-type': req.headers['content-type'] ?? 'text/plain' }, body: chunks.length ? Buffer.concat(chunks) : undefined,
    }).catch((e) => new Response(JSON.stringify({ status: 'error', error: `Prometheus: ${e.message}` }), { status: 502 }));
    return res.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  }
  const file = join(import.meta.dirname, 'dist', path === '/' ? 'index.html' : normalize(path));
  if (!existsSync(file)) return res.writeHead(404).end();
  res.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream');
  createReadStream(file).pipe(res);
}).listen(0, '127.0.0.1');
await new Promise((ok) => server.once('listening', ok));

const browser = await chromium.launch({
  executablePath: arg.browser,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--font-render-hinting=none'],
});
let failed = false;
for (const theme of arg.theme.split(',')) {
  const page = await browser.newPage({ viewport: { width: Number(arg.width), height: 900 }, colorScheme: theme });
  page.on('pageerror', (e) => console.error('page error:', e.message));
  page.on('response', (r) => r.status() >= 400 && console.error(r.status(), r.url().slice(0, 120)));
  if (process.env.DEBUG) page.on('console', (m) => console.error(m.type(), m.text()));
  await page.goto(`http://127.0.0.1:${server.address().port}/?theme=${theme}&${arg.query}`);
  await page.waitForFunction(() => {
    const all = [...document.querySelectorAll('[data-panel]')];
    return all.length && all.every((p) => p.dataset.status !== 'loading');
  }, null, { timeout: Number(process.env.PATIENCE ?? 60) * 1000 });
  await page.waitForLoadState('networkidle');
  // Grow the window to the page: a full-page capture would resize it after the plots were drawn.
  const height = await page.evaluate(() => document.querySelector('main').scrollHeight);
  await page.setViewportSize({ width: Number(arg.width), height });
  await page.waitForTimeout(500);
  const panels = await page.$$eval('[data-panel]', (all) => all.map((p) => ({ name: p.dataset.panel, status: p.dataset.status, error: p.title })));
  const bad = panels.filter((p) => p.status === 'error' || (p.status === 'empty' && !arg['allow-empty']));
  for (const p of bad) console.error(`${p.status}: ${p.name} ${p.error}`);
  failed ||= bad.length > 0;
  const file = arg.theme === theme ? `${arg.out}.png` : `${arg.out}-${theme}.png`;
  await page.screenshot({ path: file });
  console.log(`${file}: ${panels.length} panels, ${panels.filter((p) => p.status === 'done').length} drawn, ${bad.length} bad`);
  await page.close();
}
await browser.close();
server.close();
server.closeAllConnections();
process.exitCode = failed ? 1 : 0;
