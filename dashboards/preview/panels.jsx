// The panels of a dashboard drawn by Grafana's own components, with the thresholds, words and units of its JSON.
// What Grafana itself does around them (grid, titles, transformations) is redone here as far as the dashboards use it.
// `require`: Grafana's modules for `import` take what their own dependencies export otherwise than esbuild does.
const React = require('react');
const { createRoot } = require('react-dom/client');
const {
  applyFieldOverrides, createDataFrame, createTheme, dateTime, FieldConfigOptionsRegistry, FieldType,
  displayNameOverrideProcessor, getDisplayValueAlignmentFactors, getFieldDisplayName, getFieldDisplayValues, ThemeContext,
} = require('@grafana/data');
const { initPluginTranslations } = require('@grafana/i18n');
const { BarGauge, BigValue, GlobalStyles, PortalContainer, Table, TimeSeries, VizRepeater } = require('@grafana/ui');
const charts = require('uplot/dist/uPlot.min.css');

const { dashboard, panels, from, to } = window.PREVIEW;
const theme = createTheme({ colors: { mode: new URLSearchParams(location.search).get('theme') || 'light' } });
const timeRange = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
const TIME_ZONE = 'Asia/Almaty';
const ROW = 30, GAP = 8, TITLE = 32;

// Every property that an override may set, taken as it is.
const registry = new FieldConfigOptionsRegistry();
registry.register({ id: 'displayName', path: 'displayName', name: 'displayName', process: displayNameOverrideProcessor, settings: { expandTemplateVars: true }, shouldApply: () => true });
for (const id of ['unit', 'decimals', 'min', 'max', 'mappings', 'thresholds', 'color', 'noValue']) {
  registry.register({ id, path: id, name: id, process: (value) => value, shouldApply: () => true });
}
for (const path of ['cellOptions', 'width', 'minWidth', 'axisLabel', 'align', 'lineWidth', 'insertNulls', 'drawStyle', 'showPoints', 'fillOpacity',
  'thresholdsStyle', 'axisSoftMin', 'axisSoftMax']) {
  registry.register({ id: `custom.${path}`, path, name: path, isCustom: true, process: (value) => value, shouldApply: ({ type }) => type !== FieldType.time || path.endsWith('idth') });
}

function dressed(panel, frames) {
  return applyFieldOverrides({
    data: frames, fieldConfig: panel.fieldConfig, fieldConfigRegistry: registry, theme, timeZone: TIME_ZONE,
    replaceVariables: (text, scoped) => text.replace(/\$\{__field\.labels\.(\w+)\}/g, (whole, name) => scoped?.__dataContext?.value?.field?.labels?.[name] ?? whole),
  });
}

function seriesFrames(found) {
  return found.map(({ name, labels, times_ms, values }) => createDataFrame({
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: times_ms, config: {} },
      { name: 'Value', type: values.some((v) => typeof v === 'string') ? FieldType.string : FieldType.number, values, labels, config: { displayNameFromDS: name } },
    ],
  }));
}

function tableFrame(panel, rows) {
  const order = panel.transformations[0].options.indexByName;
  const names = Object.keys(order).sort((a, b) => order[a] - order[b]);
  const type = (name) => name === 'Time' ? FieldType.time : typeof rows[0]?.[name] === 'number' ? FieldType.number : FieldType.string;
  return createDataFrame({ fields: names.map((name) => ({ name, type: type(name), values: rows.map((row) => row[name]), config: {} })) });
}

const Empty = ({ panel }) => <div className="empty">{panel.fieldConfig.defaults.noValue}</div>;

function Values({ panel, found, width, height }) {
  const values = getFieldDisplayValues({
    fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables: (text) => text,
    theme, data: dressed(panel, seriesFrames(found)), timeZone: TIME_ZONE,
  });
  const one = ({ value, width, height, orientation, alignmentFactors, count }) => panel.type === 'stat'
    ? <BigValue value={value.display} width={width} height={height} theme={theme} colorMode={panel.options.colorMode}
        graphMode={panel.options.graphMode} justifyMode={panel.options.justifyMode} textMode={panel.options.textMode}
        alignmentFactors={alignmentFactors} count={count} disableWideLayout={!panel.options.wideLayout} />
    : <BarGauge value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex)}
        width={width} height={height} theme={theme} orientation={orientation} displayMode={panel.options.displayMode}
        namePlacement={panel.options.namePlacement} valueDisplayMode={panel.options.valueMode} text={panel.options.text}
        showUnfilled={panel.options.showUnfilled} itemSpacing={8} />;
  const stat = panel.type === 'stat';
  return <VizRepeater getValues={() => values} getAlignmentFactors={getDisplayValueAlignmentFactors} renderValue={one} width={width} height={height} source={found} renderCounter={1}
    orientation={panel.options.orientation} autoGrid={stat} itemSpacing={stat ? 3 : 8} minVizHeight={stat ? 0 : 16} maxVizHeight={stat ? undefined : 300} />;
}

// Grafana publishes no component for this one: bars with the words and colours of its JSON, as an idea of it.
function Timeline({ panel, found, width, height }) {
  const words = panel.fieldConfig.defaults.mappings[0].options;
  const frames = dressed(panel, seriesFrames(found));
  const at = (time) => 160 + ((time - from) / (to - from)) * (width - 160);
  return frames.map((frame, row) => {
    const [times, values] = frame.fields;
    const starts = values.values.map((_, i) => i).filter((i) => i === 0 || values.values[i] !== values.values[i - 1]);
    const place = { position: 'absolute', top: (row * height) / frames.length, height: (height / frames.length) * 0.9, overflow: 'hidden' };
    return <div key={row}><div style={{ ...place, width: 155 }}>{getFieldDisplayName(values, frame)}</div>
      {starts.map((i, n) => {
        const left = at(times.values[i]), right = at(n + 1 < starts.length ? times.values[starts[n + 1]] : to);
        const { text, color } = words[values.values[i]];
        return <div key={i} style={{ ...place, left, width: right - left, background: color, color: theme.colors.getContrastText(color) }}>{text}</div>;
      })}</div>;
  });
}

function Panel({ panel }) {
  const { w, h } = panel.gridPos;
  const column = (window.innerWidth - 2 * GAP) / 24;
  const width = w * column - GAP, height = h * (ROW + GAP) - GAP;
  const inner = { width: width - 18, height: height - TITLE - 16 };
  const found = panels[panel.id];
  let body = <Empty panel={panel} />;
  if (found.length && (panel.type === 'stat' || panel.type === 'bargauge')) body = <Values panel={panel} found={found} {...inner} />;
  if (found.length && panel.type === 'table') body = <Table data={dressed(panel, [tableFrame(panel, found)])[0]} {...inner} initialSortBy={panel.options.sortBy} />;
  if (found.length && panel.type === 'timeseries') body = <TimeSeries frames={dressed(panel, seriesFrames(found))} {...inner} timeRange={timeRange} timeZone={TIME_ZONE} legend={panel.options.legend} options={panel.options} />;
  if (found.length && panel.type === 'state-timeline') body = <Timeline panel={panel} found={found} {...inner} />;
  const place = { left: GAP + panel.gridPos.x * column, top: 48 + GAP + panel.gridPos.y * (ROW + GAP), width, height };
  return <section style={place}><h2>{panel.title}</h2><div style={{ position: 'relative', ...inner, margin: '0 8px' }}>{body}</div></section>;
}

const bottom = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * (ROW + GAP) + 64;
const style = `body { margin: 0; min-height: ${bottom}px; background: ${theme.colors.background.canvas}; color: ${theme.colors.text.primary}; font: 14px "Noto Sans", sans-serif; }
header { height: 48px; padding: 12px 16px; box-sizing: border-box; display: flex; gap: 24px; } h1 { font-size: 18px; margin: 0; } header a { color: inherit; }
section { position: absolute; box-sizing: border-box; background: ${theme.colors.background.primary}; border: 1px solid ${theme.colors.border.weak}; border-radius: 2px; overflow: hidden; }
h2 { font-size: 14px; font-weight: 500; margin: 0; padding: 6px 8px; height: ${TITLE}px; box-sizing: border-box; } .empty { text-align: center; padding-top: 40px; }`;

initPluginTranslations('suat').then(() => {
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles isExtensionPage={false} hackNoBackdropBlur />
      <style>{charts + style}</style>
      <header><h1>{dashboard.title}</h1>{dashboard.links.map((link) => <a key={link.url} href={link.url}>{link.title}</a>)}</header>
      {dashboard.panels.map((panel) => <Panel key={panel.id} panel={panel} />)}
      <PortalContainer />
    </ThemeContext.Provider>,
  );
  setTimeout(() => document.body.setAttribute('data-ready', 'yes'), 500);
});
