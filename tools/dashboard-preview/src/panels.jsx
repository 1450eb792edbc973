// One component a panel type. Each gets { panel, frames, width, height, env }.
import { useLayoutEffect } from 'react';
import { getDisplayValueAlignmentFactors, getFieldDisplayValues, renderTextPanelMarkdown } from '@grafana/data';
import { BarGauge, BigValue, RenderUserContentAsHTML, TimeSeries, useTheme2, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

/** Vertical lines of annotations, drawn on the plot's canvas. Not Grafana's code: its plugin is not on npm. */
function AnnotationLines({ builder, annotations }) {
  useLayoutEffect(() => {
    builder.addHook('draw', (u) => {
      const { ctx, bbox } = u, px = devicePixelRatio;
      for (const a of annotations) {
        const x0 = Math.round(u.valToPos(a.time, 'x', true)), x1 = Math.round(u.valToPos(a.timeEnd, 'x', true));
        if (x1 < bbox.left || x0 > bbox.left + bbox.width) continue;
        ctx.save();
        ctx.strokeStyle = ctx.fillStyle = a.color;
        ctx.lineWidth = px;
        ctx.setLineDash([4 * px, 4 * px]);
        for (const x of new Set([x0, x1])) {
          ctx.beginPath();
          ctx.moveTo(x + 0.5, bbox.top);
          ctx.lineTo(x + 0.5, bbox.top + bbox.height);
          ctx.stroke();
        }
        ctx.fillRect(x0, bbox.top + bbox.height, Math.max(x1 - x0, px), 3 * px);
        ctx.globalAlpha = 0.1;
        ctx.fillRect(x0, bbox.top, x1 - x0, bbox.height);
        ctx.restore();
      }
    });
  }, [builder]);
  return null;
}

function TimeSeriesPanel({ panel, frames, width, height, env }) {
  return (
    <TimeSeries frames={frames} structureRev={1} width={width} height={height} timeRange={env.range} timeZone={env.timeZone}
      legend={panel.options.legend} options={panel.options}>
      {(builder) => <AnnotationLines builder={builder} annotations={env.annotations} />}
    </TimeSeries>
  );
}

function reduced(panel, frames, env, theme, sparkline) {
  const values = getFieldDisplayValues({
    data: frames, fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, theme, sparkline,
    timeZone: env.timeZone, replaceVariables: env.replace, percentChange: panel.options.showPercentChange,
  });
  for (const v of values) if (v.sparkline) v.sparkline.timeRange = env.range;
  return values;
}

function StatPanel({ panel, frames, width, height, env }) {
  const theme = useTheme2(), o = panel.options;
  return (
    <VizRepeater width={width} height={height} orientation={o.orientation} autoGrid source={frames} renderCounter={0} itemSpacing={3}
      getValues={() => reduced(panel, frames, env, theme, o.graphMode !== 'none')} getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, ...box }) => (
        <BigValue {...box} value={value.display} sparkline={value.sparkline} theme={theme} text={o.text} colorMode={o.colorMode}
          graphMode={o.graphMode} justifyMode={o.justifyMode} textMode={o.textMode} disableWideLayout={!o.wideLayout}
          percentChangeColorMode={o.percentChangeColorMode} />
      )} />
  );
}

function BarGaugePanel({ panel, frames, width, height, env }) {
  const theme = useTheme2(), o = panel.options;
  const orientation = o.orientation === 'auto' ? (width > height ? 'vertical' : 'horizontal') : o.orientation;
  return (
    <VizRepeater width={width} height={height} orientation={orientation} source={frames} renderCounter={0} itemSpacing={10}
      minVizHeight={o.minVizHeight ?? 16} minVizWidth={o.minVizWidth ?? 8} maxVizHeight={o.maxVizHeight ?? 300}
      getValues={() => reduced(panel, frames, env, theme, false)} getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, ...box }) => (
        <BarGauge {...box} value={value.display} field={value.field} theme={theme} text={o.text} displayMode={o.displayMode}
          display={value.view?.getFieldDisplayProcessor(value.colIndex)} valueDisplayMode={o.valueMode} namePlacement={o.namePlacement}
          showUnfilled={o.showUnfilled} itemSpacing={10} lcdCellWidth={8} />
      )} />
  );
}

function TablePanel({ panel, frames, width, height, env }) {
  const { showHeader, cellHeight, sortBy, frameIndex = 0 } = panel.options;
  return (
    <TableNG data={frames[frameIndex]} width={width} height={height} noHeader={!showHeader} cellHeight={cellHeight} sortBy={sortBy}
      fieldConfig={panel.fieldConfig} timeRange={env.range} structureRev={1} transparent={panel.transparent} enableVirtualization={false} />
  );
}

function TextPanel({ panel, env }) {
  const text = env.replace(panel.options.content);
  const html = panel.options.mode === 'html' ? text : renderTextPanelMarkdown(text);
  return <RenderUserContentAsHTML className="markdown-html" content={html} component="div" />;
}

export const PANELS = {
  timeseries: { Draw: TimeSeriesPanel, padding: 'md' }, stat: { Draw: StatPanel, padding: 'none' }, table: { Draw: TablePanel, padding: 'none' },
  bargauge: { Draw: BarGaugePanel, padding: 'md' }, gauge: { Draw: BarGaugePanel, padding: 'md' }, text: { Draw: TextPanel, padding: 'md' },
};
