(() => {
  const data = JSON.parse(document.getElementById('metrics').textContent);
  const host = document.getElementById('charts');
  if (!host) return;

  const { short, colour, value, frame, mount } = reportCharts;
  const axisNames = { steps: 'steps', evaluations: 'network evaluations', seconds: 'seconds' };
  const count = data.axes.steps.length;

  // A centred moving average: single steps are noisy, the trend is what one looks for.
  const smooth = (values) => {
    const reach = Math.max(1, Math.round(count / 24));
    return values.map((_, at) => {
      const near = values.slice(Math.max(0, at - reach), at + reach + 1).filter((value) => value !== null);
      return near.length ? near.reduce((sum, value) => sum + value, 0) / near.length : null;
    });
  };
  const shifted = (values, by, sign) =>
    values.map((value, at) => (value === null || by[at] === null ? null : value + sign * by[at]));
  const rise = (values) => {
    const known = values.filter((value) => value !== null);
    return `from ${short(known[0])} to ${short(known[known.length - 1])}`;
  };

  const charts = [
    {
      title: 'Reward',
      note: 'mean of each batch, its trend, and one standard deviation around the trend',
      values: data.reward,
      band: data.rewardStd,
      wide: true,
    },
    ...data.rewards.map(({ name, values }) => ({ title: name, note: 'this reward alone, unweighted', values })),
    {
      title: 'Weighted rewards',
      note: 'each reward times its weight, the trends of what the reward is the sum of',
      values: data.rewards.flatMap(({ weighted }) => weighted),
      label: data.rewards.map(({ name, weighted }) => `${name} ${rise(smooth(weighted))}`).join(', '),
      lines: data.rewards,
    },
    {
      title: 'Drift from the pretrained model',
      note: 'change of the velocity, relative to its own size',
      values: data.drift,
      sparse: true,
    },
    { title: 'Loss', note: 'mean squared distance to the matching target', values: data.loss },
    { title: 'Gradient norm', note: 'before clipping', values: data.gradNorm },
  ]
    .filter(({ values }) => values.some((value) => value !== null))
    .map((chart) => ({ ...chart, label: chart.label ?? rise(chart.sparse ? chart.values : smooth(chart.values)) }));

  function options(chart, width, axis) {
    const accent = colour('--accent');
    const result = frame(chart, width, axisNames[axis]);
    const { series, bands } = result;
    if (chart.lines) {
      for (const [at, { name }] of chart.lines.entries()) {
        series.push({
          label: name,
          stroke: colour(`--series-${1 + (at % 6)}`),
          width: 2.5,
          value,
          points: { show: false },
        });
      }
    } else if (chart.sparse) {
      series.push({
        label: chart.title.toLowerCase(),
        stroke: accent,
        width: 2,
        spanGaps: true,
        value,
        points: { show: true, size: 5, fill: accent },
      });
    } else {
      series.push({ label: 'step', stroke: accent, alpha: 0.35, width: 1, value, points: { show: false } });
      series.push({ label: 'trend', stroke: accent, width: 2.5, value, points: { show: false } });
    }
    if (chart.band) {
      series.push({ label: '+ std', stroke: 'transparent', value, points: { show: false } });
      series.push({ label: '− std', stroke: 'transparent', value, points: { show: false } });
      bands.push({ series: [3, 4], fill: colour('--band') });
    }
    return result;
  }

  function columns(chart, axis) {
    const x = data.axes[axis];
    if (chart.lines) return [x, ...chart.lines.map(({ weighted }) => smooth(weighted))];
    if (chart.sparse) return [x, chart.values];
    const trend = smooth(chart.values);
    const result = [x, chart.values, trend];
    if (chart.band) {
      const spread = smooth(chart.band);
      result.push(shifted(trend, spread, 1), shifted(trend, spread, -1));
    }
    return result;
  }

  mount(host, charts, (chart, width, axis) => [options(chart, width, axis), columns(chart, axis)]);
})();
