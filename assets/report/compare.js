(() => {
  const data = JSON.parse(document.getElementById('metrics').textContent);
  const host = document.getElementById('charts');
  const { short, colour, frame, mount } = reportCharts;
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
    const options = frame(chart, width, axisNames[axis]);
    // A flat line at 1 would otherwise be drawn in the middle of 0 … 2.
    if (chart.fraction)
      options.scales.y = { range: (_, low, high) => [Math.max(0, low - 0.01), Math.min(1.001, high + 0.01)] };
    const tables = [];
    for (const [at, { name, curve }] of data.contenders.entries()) {
      const measure = curve.measures[chart.key];
      if (!measure) continue;
      const first = options.series.length;
      const line = stroke(at);
      const withBounds = (chart, mean, _, point) => {
        const [high, low] = [1, 2].map((bound) => chart.data[first + bound][point]);
        return mean === null || mean === undefined || high === low
          ? short(mean)
          : `${short(mean)} (${short(low)} to ${short(high)})`;
      };
      const bound = { class: 'bound', stroke: 'transparent', width: 0, points: { show: false } };
      options.series.push(
        { label: name, stroke: line, width: 2.5, value: withBounds, points: { show: true, size: 5, fill: line } },
        bound,
        { ...bound },
      );
      options.bands.push({ series: [first + 1, first + 2], fill: `color-mix(in srgb, ${line} 16%, transparent)` });
      const known = measure.mean.map((value, point) => (value === null ? -1 : point)).filter((point) => point >= 0);
      tables.push(
        [curve[axis], measure.mean, measure.high, measure.low].map((column) => known.map((point) => column[point])),
      );
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
