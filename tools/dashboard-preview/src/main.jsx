// Draws a classic Grafana dashboard JSON with Grafana's own components.
// URL: ?dashboard=URL&prometheus=URL&theme=dark|light&from=now-2h&to=now&scrape=SECONDS&var-NAME=VALUE
import { Component, useEffect, useMemo, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { createTheme, dateMath, dateTimeFormat, rangeUtil, renderTextPanelMarkdown } from '@grafana/data';
import { GlobalStyles, Icon, PanelChrome, ThemeContext, useTheme2 } from '@grafana/ui';
import { loadFonts, prepareFrames, withDefaults } from './grafana.js';
import { PANELS } from './panels.jsx';
import { interpolate, resolveVariables, runAnnotations, runTarget } from './prometheus.js';

const COLUMNS = 24, CELL = 30, GAP = 8; // Grafana's dashboard grid
const search = new URLSearchParams(location.search);
const base = search.get('prometheus') ?? '/prometheus';

// ---- one panel: query, then draw ----------------------------------------------------------------

function Message({ children }) {
  const color = useTheme2().colors.text.secondary;
  return <div style={{ height: '100%', display: 'grid', placeItems: 'center', textAlign: 'center', color }}>{children}</div>;
}

class Catch extends Component {
  state = {};
  static getDerivedStateFromError = (error) => ({ error });
  componentDidCatch(error) { this.props.onError(error); }
  render() { return this.state.error ? <Message>{String(this.state.error)}</Message> : this.props.children; }
}

function Panel({ json, width, height, env, theme }) {
  const panel = useMemo(() => withDefaults(json), [json]);
  const [state, setState] = useState({ status: 'loading' });
  const kind = PANELS[panel.type];
  useEffect(() => {
    (async () => {
      if (!kind) throw new Error(`panel type "${panel.type}" is not drawn here`);
      const targets = (panel.targets ?? []).filter((t) => !t.hide && t.expr);
      const frames = (await Promise.all(targets.map((t) => runTarget(base, t, panel, env.range, env.values, width)))).flat();
      if (!frames.length && panel.type !== 'text') return setState({ status: 'empty' });
      setState({ status: 'done', frames: await prepareFrames(panel, frames, theme, env.timeZone, env.replace) });
    })().catch((error) => setState({ status: 'error', error }));
  }, []);
  return (
    <div data-panel={panel.title ?? panel.id} data-status={state.status} title={state.error?.message}>
      <PanelChrome width={width} height={height} padding={kind?.padding} title={env.replace(panel.title ?? '')}
        description={panel.description && (() => renderTextPanelMarkdown(env.replace(panel.description)))}
        displayMode={panel.transparent ? 'transparent' : 'default'} statusMessage={state.error?.message}>
        {(w, h) =>
          state.status === 'empty' ? <Message>{panel.fieldConfig.defaults.noValue ?? 'No data'}</Message>
          : state.status === 'error' ? <Message>{state.error.message}</Message>
          : state.frames && (
            <Catch onError={(error) => setState({ status: 'error', error })}>
              <kind.Draw panel={panel} frames={state.frames} width={w} height={h} env={env} />
            </Catch>
          )}
      </PanelChrome>
    </div>
  );
}

// ---- the page: header, variables, grid ----------------------------------------------------------

function Header({ dashboard, env, theme }) {
  const box = { display: 'flex', border: `1px solid ${theme.colors.border.weak}`, borderRadius: theme.shape.radius.default, overflow: 'hidden' };
  const cell = (background) => ({ padding: '5px 10px', lineHeight: '20px', background, fontSize: 13 });
  const pair = (name, value) => (
    <div key={name} style={box}>
      {name && <span style={{ ...cell(theme.colors.background.secondary), fontWeight: 500 }}>{name}</span>}
      <span style={cell(theme.components.input.background)}>{value}</span>
    </div>
  );
  const shown = (dashboard.templating?.list ?? []).filter((v) => v.type !== 'datasource' && v.type !== 'constant' && v.hide !== 2);
  const time = (t) => dateTimeFormat(t, { format: 'YYYY-MM-DD HH:mm', timeZone: env.timeZone });
  return (
    <header style={{ display: 'flex', alignItems: 'center', gap: GAP, padding: `0 0 ${GAP * 1.5}px` }}>
      <h1 style={{ ...theme.typography.h3, margin: '0 12px 0 0' }}>{dashboard.title}</h1>
      {shown.map((v) => pair(v.label || v.name, env.values[v.name] === '.*' ? 'All' : env.values[v.name]))}
      <span style={{ flex: 1 }} />
      {pair('', `${time(env.range.from)} to ${time(env.range.to).slice(11)} ${env.timeZone === 'utc' ? 'UTC' : ''}`)}
    </header>
  );
}

function Row({ title, theme }) {
  return (
    <h2 style={{ ...theme.typography.h6, fontWeight: 500, margin: 0, height: CELL, display: 'flex', alignItems: 'center', gap: 4 }}>
      <Icon name="angle-down" />{title}
    </h2>
  );
}

function Dashboard({ dashboard, env, theme }) {
  const width = document.documentElement.clientWidth - 4 * GAP, cell = (width + GAP) / COLUMNS;
  const panels = dashboard.panels.flatMap((p) => (p.type === 'row' && !p.collapsed ? [p, ...(p.panels ?? [])] : [p]));
  const bottom = Math.max(...panels.map((p) => p.gridPos.y + p.gridPos.h)) * (CELL + GAP);
  return (
    <main style={{ padding: 2 * GAP }}>
      <Header dashboard={dashboard} env={env} theme={theme} />
      <div style={{ position: 'relative', height: bottom - GAP }}>
        {panels.map((p) => {
          const { x, y, w, h } = p.gridPos, size = { width: Math.floor(w * cell - GAP), height: h * (CELL + GAP) - GAP };
          return (
            <div key={`${p.id}-${p.title}`} style={{ position: 'absolute', left: Math.round(x * cell), top: y * (CELL + GAP), ...size }}>
              {p.type === 'row' ? <Row title={env.replace(p.title)} theme={theme} /> : <Panel json={p} env={env} theme={theme} {...size} />}
            </div>
          );
        })}
      </div>
    </main>
  );
}

async function load(theme) {
  const dashboard = await (await fetch(search.get('dashboard') ?? '/dashboard.json')).json();
  const raw = { from: search.get('from') ?? dashboard.time?.from ?? 'now-1h', to: search.get('to') ?? dashboard.time?.to ?? 'now' };
  const timeZone = search.get('timezone') ?? (dashboard.timezone || 'browser');
  const range = rangeUtil.convertRawToRange(raw, timeZone);
  if (!dateMath.isValid(raw.from)) throw new Error(`bad time range: ${raw.from}`);
  const values = await resolveVariables(base, dashboard, search, range);
  const annotations = await runAnnotations(base, dashboard, range, values, theme);
  await loadFonts();
  return { dashboard, env: { range, timeZone, values, annotations, replace: (text, scoped) => interpolate(text, values, scoped) } };
}

const theme = createTheme({ colors: { mode: search.get('theme') ?? 'dark' } });
function App() {
  const [page, setPage] = useState();
  useEffect(() => { load(theme).then(setPage, (error) => setPage({ error })); }, []);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      {page?.error ? <Message>{String(page.error)}</Message> : page && <Dashboard {...page} theme={theme} />}
    </ThemeContext.Provider>
  );
}
createRoot(document.getElementById('root')).render(<App />);
