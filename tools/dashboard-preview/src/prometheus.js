// Variables, Prometheus queries and their results as Grafana data frames.
import { createDataFrame, FieldType, rangeUtil } from '@grafana/data';

// The data source's "Scrape interval"; 15 s is Grafana's default.
const SCRAPE_MS = 1000 * Number(new URLSearchParams(globalThis.location?.search).get('scrape') ?? 15);
const seconds = (ms) => `${Math.max(1, Math.round(ms / 1000))}s`;

async function api(base, path, params) {
  const response = await fetch(`${base}/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(params) });
  const body = await response.json();
  if (body.status !== 'success') throw new Error(body.error ?? response.statusText);
  return body.data;
}

/** Current values of the dashboard's variables: the URL's var-NAME, else the saved value, else the first result. */
export async function resolveVariables(base, dashboard, search, range) {
  const values = {};
  for (const v of dashboard.templating?.list ?? []) {
    if (v.type === 'datasource') { values[v.name] = 'prometheus'; continue; }
    const saved = v.current?.value ?? (v.type === 'query' ? undefined : v.query);
    let value = search.getAll(`var-${v.name}`);
    if (!value.length) value = [saved].flat().filter((x) => x !== undefined && x !== '');
    const query = v.type === 'query' && /label_values\((?:(.+),\s*)?(\w+)\)/.exec(v.query?.query ?? v.query ?? '');
    if (query && !value.length) {
      const match = query[1] ? { 'match[]': interpolate(query[1], values) } : {};
      const params = new URLSearchParams({ ...match, start: range.from.unix(), end: range.to.unix() });
      const body = await (await fetch(`${base}/api/v1/label/${query[2]}/values?${params}`)).json();
      value = (body.data ?? []).slice(0, 1);
    }
    values[v.name] = value[0] === '$__all' ? v.allValue || '.*' : value.length > 1 ? `(${value.join('|')})` : value[0] ?? '';
  }
  return values;
}

/** $name, ${name}, ${name:format} and [[name]]; unknown names stay as they are. */
export function interpolate(text, values, scopedVars) {
  const field = scopedVars?.__dataContext?.value?.field;
  return String(text).replace(/\$\{([\w.]+)(?::\w+)?\}|\$(\w+)|\[\[(\w+)\]\]/g, (all, a, b, c) => {
    const name = a ?? b ?? c;
    if (name.startsWith('__field.labels.')) return field?.labels?.[name.slice(15)] ?? '';
    if (name === '__field.name') return field?.name ?? '';
    return values[name] ?? all;
  });
}

/** $__interval and its relatives, by the rules of Grafana's Prometheus data source. */
export function timing(range, minInterval, maxDataPoints) {
  const span = range.to.valueOf() - range.from.valueOf();
  const { intervalMs } = rangeUtil.calculateInterval(range, maxDataPoints, minInterval || seconds(SCRAPE_MS));
  const step = Math.max(intervalMs, Math.ceil(span / 11000), 1000);
  return {
    step,
    vars: {
      __interval: seconds(step), __interval_ms: String(step), __range: seconds(span), __range_s: String(Math.round(span / 1000)),
      __range_ms: String(span), __rate_interval: seconds(Math.max(step + SCRAPE_MS, 4 * SCRAPE_MS)),
    },
  };
}

const number = (text) => (text === 'NaN' ? null : text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text));
const seriesName = ({ __name__ = '', ...labels }) =>
  `${__name__}{${Object.entries(labels).map(([k, v]) => `${k}="${v}"`).join(', ')}}`;
const legendName = (target, metric, count) => {
  const format = target.legendFormat;
  if (format && format !== '__auto') return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, k) => metric[k] ?? '');
  return Object.keys(metric).length ? seriesName(metric) : count === 1 ? target.expr : 'Value';
};

export async function queryRange(base, expr, range, step) {
  const align = (t) => Math.floor(t / step) * (step / 1000);
  return api(base, 'query_range', { query: expr, start: align(range.from.valueOf()), end: align(range.to.valueOf()), step: step / 1000 });
}

/** One panel target as data frames. */
export async function runTarget(base, target, panel, range, values, width) {
  const min = interpolate(target.interval || panel.interval || '', values);
  const { step, vars } = timing(range, min, panel.maxDataPoints ?? width);
  const expr = interpolate(target.expr, { ...values, ...vars });
  const data = target.instant
    ? await api(base, 'query', { query: expr, time: range.to.valueOf() / 1000 })
    : await queryRange(base, expr, range, step);
  let result = data.result;
  if (data.resultType === 'scalar') result = [{ metric: {}, value: data.result }];
  const points = (r) => r.values ?? [r.value];

  if (target.format === 'table') {
    const rows = result.flatMap((r) => points(r).map(([t, v]) => ({ ...r.metric, Time: t * 1000, Value: number(v) })));
    if (!rows.length) return [];
    const labels = [...new Set(result.flatMap((r) => Object.keys(r.metric)))].sort();
    const column = (name, type, key = name) => ({ name, type, config: {}, values: rows.map((r) => r[key] ?? null) });
    const value = panel.targets.length > 1 ? `Value #${target.refId}` : 'Value';
    return [createDataFrame({
      refId: target.refId,
      fields: [column('Time', FieldType.time), ...labels.map((l) => column(l, FieldType.string)), column(value, FieldType.number, 'Value')],
    })];
  }
  return result.map((r) => {
    const { __name__, ...labels } = r.metric;
    const name = legendName(target, r.metric, result.length);
    return createDataFrame({
      refId: target.refId, name,
      fields: [
        // `interval` tells the graph how far apart two points may be before the line breaks.
        { name: 'Time', type: FieldType.time, config: { interval: step }, values: points(r).map(([t]) => t * 1000) },
        { name: 'Value', type: FieldType.number, labels, config: { displayNameFromDS: name }, values: points(r).map(([, v]) => number(v)) },
      ],
    });
  });
}

/** Annotation queries: neighbouring points above zero become one region, as in Grafana. */
export async function runAnnotations(base, dashboard, range, values, theme) {
  const out = [];
  for (const a of dashboard.annotations?.list ?? []) {
    if (!a.enable || a.builtIn || !a.expr) continue;
    const step = rangeUtil.intervalToMs(a.step || '60s');
    const { vars } = timing(range, a.step, 1000);
    const { result } = await queryRange(base, interpolate(a.expr, { ...values, ...vars, __interval: seconds(step) }), range, step);
    for (const { metric, values: points } of result) {
      let last;
      for (const [t, v] of points) {
        if (!(Number(v) > 0)) continue;
        if (last && t * 1000 - last.timeEnd <= step) { last.timeEnd = t * 1000; continue; }
        out.push((last = {
          time: t * 1000, timeEnd: t * 1000, color: theme.visualization.getColorByName(a.iconColor ?? 'red'),
          title: legendName({ legendFormat: a.titleFormat || a.name }, metric), text: legendName({ legendFormat: a.textFormat || a.name }, metric),
        }));
      }
    }
  }
  return out;
}
