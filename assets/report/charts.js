// What the charts of every report share: their look, the choice of an axis, and drawing again where the page changes.
// biome-ignore lint/correctness/noUnusedVariables: the page holds report.js or compare.js after this, which use it
const reportCharts = (() => {
  const short = (value) =>
    value === null || value === undefined
      ? '–'
      : Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3)
        ? value.toExponential(2)
        : String(Number(value.toPrecision(4)));
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const value = (_, raw) => short(raw);

  /** uPlot's options but for the series, the first of which is the axis. */
  function frame(chart, width, axisName) {
    const ticks = {
      stroke: colour('--soft'),
      font: '12px system-ui, sans-serif',
      grid: { stroke: colour('--grid'), width: 1 },
      ticks: { show: false },
    };
    return {
      width,
      height: chart.wide ? 300 : 220,
      scales: { x: { time: false } },
      axes: [
        { ...ticks, values: (_, marks) => marks.map((mark) => (mark >= 1e4 ? `${mark / 1e3}k` : String(mark))) },
        { ...ticks, size: 56, values: (_, marks) => marks.map(short) },
      ],
      series: [{ label: axisName, value }],
      bands: [],
      cursor: { points: { size: 6 }, drag: { x: true, y: false } },
      legend: { live: true },
    };
  }

  /**
   * Makes a card for each of `charts` ({ title, note, wide, label }) and keeps it drawn.
   * @param plot (chart, width, axis) => [uPlot's options, its data]
   */
  function mount(host, charts, plot) {
    const places = charts.map((chart) => {
      const card = document.createElement('article');
      card.className = chart.wide ? 'chart wide' : 'chart';
      const title = document.createElement('h3');
      title.textContent = chart.title;
      const note = document.createElement('p');
      note.textContent = chart.note;
      const place = document.createElement('div');
      place.className = 'plot';
      place.setAttribute('role', 'img');
      place.setAttribute('aria-label', `${chart.title}: ${chart.label}`);
      card.append(title, note, place);
      host.append(card);
      return place;
    });
    let drawn = [];
    const draw = () => {
      const axis = document.querySelector('input[name=axis]:checked').value;
      for (const one of drawn) one.destroy();
      drawn = charts.map((chart, at) => new uPlot(...plot(chart, places[at].clientWidth, axis), places[at]));
    };
    document.querySelector('.axis').hidden = false;
    draw();
    for (const input of document.querySelectorAll('input[name=axis]')) input.addEventListener('change', draw);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
    let width = host.clientWidth;
    new ResizeObserver(() => {
      if (host.clientWidth === width) return;
      width = host.clientWidth;
      drawn.forEach((one, at) => {
        one.setSize({ width: places[at].clientWidth, height: one.height });
      });
    }).observe(host);
  }

  return { short, colour, value, frame, mount };
})();
