(() => {
  const data = JSON.parse(document.getElementById('metrics').textContent);
  const host = document.getElementById('charts');
  if (!host) return;

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
  const shifted = (values, by, sign) => values.map((value, at) => (value === null || by[at] === null ? null : value + sign * by[at]));
  const short = (value) => (value === null || value === undefined ? '–' : Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(4))));

  const charts = [
    { title: 'Reward', note: 'mean of each batch, its trend, and one standard deviation around the trend', values: data.reward, band: data.rewardStd, wide: true },
    ...data.rewards.map(({ name, values }) => ({ title: name, note: 'this reward alone, unweighted', values })),
    { title: 'Drift from the pretrained model', note: 'change of the velocity, relative to its own size', values: data.drift, sparse: true },
    { title: 'Loss', note: 'mean squared distance to the matching target', values: data.loss },
    { title: 'Gradient norm', note: 'before clipping', values: data.gradNorm },
  ].filter(({ values }) => values.some((value) => value !== null));

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let drawn = [];

  function options(chart, width, axis) {
    const accent = colour('--accent');
    const ticks = {
      stroke: colour('--soft'),
      font: '12px system-ui, sans-serif',
      grid: { stroke: colour('--grid'), width: 1 },
      ticks: { show: false },
    };
    const value = (_, raw) => short(raw);
    const series = [{ label: axisNames[axis], value }];
    const bands = [];
    if (chart.sparse) {
      series.push({ label: chart.title.toLowerCase(), stroke: accent, width: 2, spanGaps: true, value, points: { show: true, size: 5, fill: accent } });
    } else {
      series.push({ label: 'step', stroke: accent, alpha: 0.35, width: 1, value, points: { show: false } });
      series.push({ label: 'trend', stroke: accent, width: 2.5, value, points: { show: false } });
    }
    if (chart.band) {
      series.push({ label: '+ std', stroke: 'transparent', value, points: { show: false } });
      series.push({ label: '− std', stroke: 'transparent', value, points: { show: false } });
      bands.push({ series: [3, 4], fill: colour('--band') });
    }
    return {
      width,
      height: chart.wide ? 300 : 220,
      scales: { x: { time: false } },
      axes: [{ ...ticks, values: (_, marks) => marks.map((mark) => (mark >= 1e4 ? `${mark / 1e3}k` : String(mark))) }, { ...ticks, size: 56, values: (_, marks) => marks.map(short) }],
      series,
      bands,
      cursor: { points: { size: 6 }, drag: { x: true, y: false } },
      legend: { live: true },
    };
  }

  function columns(chart, axis) {
    const x = data.axes[axis];
    if (chart.sparse) return [x, chart.values];
    const trend = smooth(chart.values);
    const result = [x, chart.values, trend];
    if (chart.band) {
      const spread = smooth(chart.band);
      result.push(shifted(trend, spread, 1), shifted(trend, spread, -1));
    }
    return result;
  }

  const cards = charts.map((chart) => {
    const card = document.createElement('article');
    card.className = chart.wide ? 'chart wide' : 'chart';
    const title = document.createElement('h3');
    title.textContent = chart.title;
    const note = document.createElement('p');
    note.textContent = chart.note;
    const plot = document.createElement('div');
    plot.className = 'plot';
    const known = (chart.sparse ? chart.values : smooth(chart.values)).filter((value) => value !== null);
    plot.setAttribute('role', 'img');
    plot.setAttribute('aria-label', `${chart.title}: from ${short(known[0])} to ${short(known[known.length - 1])}`);
    card.append(title, note, plot);
    host.append(card);
    return plot;
  });

  function draw() {
    const axis = document.querySelector('input[name=axis]:checked').value;
    for (const plot of drawn) plot.destroy();
    drawn = charts.map((chart, at) => new uPlot(options(chart, cards[at].clientWidth, axis), columns(chart, axis), cards[at]));
  }

  document.querySelector('.axis').hidden = false;
  draw();
  for (const input of document.querySelectorAll('input[name=axis]')) input.addEventListener('change', draw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  let width = host.clientWidth;
  new ResizeObserver(() => {
    if (host.clientWidth === width) return;
    width = host.clientWidth;
    drawn.forEach((plot, at) => plot.setSize({ width: cards[at].clientWidth, height: plot.height }));
  }).observe(host);
})();
