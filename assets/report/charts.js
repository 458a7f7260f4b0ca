// The charts of every report share this: their look, the choice of an axis, and drawing again where the page changes.
// biome-ignore lint/correctness/noUnusedVariables: the page holds report.js or compare.js after this
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
   * Makes a card for each of `charts` ({ key, title, note, wide, label }) and keeps it drawn.
   * @param plot (chart, width, axis, [low, high]) => [uPlot's options, its data]; the range is undefined where the
   *   whole is shown, and else what somebody has zoomed to
   * @returns { update(charts), plotted(key) }: `update` shows other charts from now on. What was there is not built
   *   anew: a card that stays keeps its place and its zoom, and a plot of the same series takes the new data. `plotted`
   *   is a chart's uPlot.
   */
  function mount(host, charts, plot) {
    const cards = new Map();
    const axis = () => document.querySelector('input[name=axis]:checked').value;

    function addCard(chart) {
      const element = document.createElement('article');
      element.className = chart.wide ? 'chart wide' : 'chart';
      element.dataset.chart = chart.key;
      const title = document.createElement('h3');
      title.textContent = chart.title;
      const note = document.createElement('p');
      note.textContent = chart.note;
      const place = document.createElement('div');
      place.className = 'plot';
      place.setAttribute('role', 'img');
      element.append(title, note, place);
      host.append(element);
      const card = { element, note, place, chart, plotted: undefined, series: '', extent: [], zoom: undefined };
      cards.set(chart.key, card);
      return card;
    }

    const whole = (data) => [data[0][0], data[0][data[0].length - 1]];

    /**
     * Draws a card anew where its zoom has changed: a part is drawn from all of its points, and the whole from some.
     */
    function followZoom(card, plotted, scale) {
      if (scale !== 'x' || card.plotted !== plotted) return;
      const { min, max } = plotted.scales.x;
      const [first, last] = card.extent;
      const zoom = min > first || max < last ? [min, max] : undefined;
      if (String(zoom) === String(card.zoom)) return;
      card.zoom = zoom;
      // uPlot is still at work now, so that the card is drawn afterwards.
      queueMicrotask(() => {
        if (card.plotted === plotted) draw(card);
      });
    }

    function draw(card, anew = false) {
      card.place.setAttribute('aria-label', `${card.chart.title}: ${card.chart.label}`);
      const [options, data] = plot(card.chart, card.place.clientWidth, axis(), card.zoom);
      const series = JSON.stringify(options.series.map(({ label }) => label));
      card.extent = whole(data);
      if (anew || series !== card.series) {
        card.plotted?.destroy();
        card.series = series;
        card.zoom = undefined;
        options.hooks = { setScale: [(plotted, scale) => followZoom(card, plotted, scale)] };
        card.plotted = new uPlot(options, data, card.place);
      } else {
        card.plotted.setData(data, card.zoom === undefined);
        if (card.zoom) card.plotted.setScale('x', { min: card.zoom[0], max: card.zoom[1] });
      }
    }

    const drawAnew = () => {
      for (const card of cards.values()) draw(card, true);
    };
    function update(shown) {
      for (const [key, card] of cards) {
        if (shown.some((chart) => chart.key === key)) continue;
        card.plotted?.destroy();
        card.element.remove();
        cards.delete(key);
      }
      for (const chart of shown) {
        const card = cards.get(chart.key) ?? addCard(chart);
        card.chart = chart;
        if (card.note.textContent !== chart.note) card.note.textContent = chart.note;
        // Cards stand in the order of the charts, and a new chart may come in between.
        if (host.children[shown.indexOf(chart)] !== card.element)
          host.insertBefore(card.element, host.children[shown.indexOf(chart)] ?? null);
      }
      // Only now, with all cards there, has each card the width that it keeps.
      for (const card of cards.values()) draw(card);
    }

    document.querySelector('.axis').hidden = false;
    update(charts);
    for (const input of document.querySelectorAll('input[name=axis]')) input.addEventListener('change', drawAnew);
    for (const media of ['(prefers-color-scheme: dark)', 'print'])
      matchMedia(media).addEventListener('change', drawAnew);
    let width = host.clientWidth;
    new ResizeObserver(() => {
      if (host.clientWidth === width) return;
      width = host.clientWidth;
      for (const card of cards.values()) {
        card.plotted.setSize({ width: card.place.clientWidth, height: card.plotted.height });
        draw(card);
      }
    }).observe(host);
    return { update, plotted: (key) => cards.get(key)?.plotted };
  }

  return { short, colour, value, frame, mount };
})();
