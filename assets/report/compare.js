(() => {
  const data = JSON.parse(document.getElementById('metrics').textContent);
  const host = document.getElementById('charts');
  const { short, colour, value, frame, mount } = reportCharts;
  const axisNames = { evaluations: 'network evaluations', seconds: 'training seconds', steps: 'steps' };
  const stroke = (at) => colour(`--series-${at + 1}`);

  const charts = data.charts.map((chart) => ({
    ...chart,
    label: data.contenders
      .filter(({ curve }) => curve.measures[chart.key])
      .map(({ name, curve }) => {
        const known = curve.measures[chart.key].mean.filter((value) => value !== null);
        return `${name} from ${short(known[0])} to ${short(known[known.length - 1])}`;
      })
      .join('; '),
  }));

  function plot(chart, width, axis) {
    const options = { ...frame(chart, width, axisNames[axis]), legend: { live: true } };
    const tables = [];
    for (const [at, { name, curve }] of data.contenders.entries()) {
      const measure = curve.measures[chart.key];
      if (!measure) continue;
      const first = options.series.length;
      const bound = (label) => ({ label: `${name} ${label}`, stroke: 'transparent', width: 0, value, points: { show: false } });
      options.series.push({ label: name, stroke: stroke(at), width: 2.5, value, points: { show: true, size: 5, fill: stroke(at) } }, bound('highest'), bound('lowest'));
      const fill = stroke(at);
      options.bands.push({ series: [first + 1, first + 2], fill: `color-mix(in srgb, ${fill} 16%, transparent)` });
      const known = measure.mean.map((value, point) => (value === null ? -1 : point)).filter((point) => point >= 0);
      tables.push([curve[axis], measure.mean, measure.high, measure.low].map((column) => known.map((point) => column[point])));
    }
    return [options, uPlot.join(tables)];
  }

  const legend = document.getElementById('contenders');
  data.contenders.forEach(({ name }, at) => {
    const item = document.createElement('li');
    const mark = document.createElement('i');
    mark.style.background = `var(--series-${at + 1})`;
    item.append(mark, name);
    legend.append(item);
  });

  mount(host, charts, plot);
})();
