// The page of one run, or of several side by side. A script that comes after this one shows another state of the runs
// with
//
//   reportPage.update(data)
//
// where `data` is what pageData(views, source) of lib/jobs/report/page-data.ts gives, as JSON: the runs with their axes
// and grids (each with a `src`), the charts with their lines, and the HTML of each `<div data-part="name">`. A part
// whose HTML is what it was is left alone, plots take the new points where they are, zoomed as they are, and the step
// that was chosen on the slider stays chosen; the last one stays the last one. Ten thousand steps take some tens of
// milliseconds. Runs and charts may come and go from one state to the next.
// biome-ignore lint/correctness/noUnusedVariables: scripts after this one use it
const reportPage = (() => {
  const { short, colour, value, frame, mount } = reportCharts;
  const { smooth, thin } = thinning;
  const axisNames = { steps: 'steps', evaluations: 'network evaluations', seconds: 'seconds' };
  const dashes = [undefined, [8, 4], [2, 3]];
  let data = JSON.parse(document.getElementById('metrics').textContent);

  const known = (values) => values.filter((value) => value !== null);
  /** Single steps are noisy: the trend, over about a twelfth of the steps, is what one looks for. */
  const trendOf = (values) => smooth(values, Math.max(1, Math.round(values.length / 24)));
  function rise(values) {
    const numbers = known(values);
    return numbers.length ? `from ${short(numbers[0])} to ${short(numbers[numbers.length - 1])}` : 'no numbers';
  }

  /** Prepares a chart, once: the columns of each line, and the text for those who do not see it. */
  function prepared({ lines, ...chart }) {
    const isOfRuns = lines.some(({ run }) => run > 0);
    const curves = lines.map(({ values, spread, ...line }) => {
      if (chart.sparse) {
        // The pretrained model's mean, with a band.
        const edge = (sign) => values.map((middle, at) => (middle === null ? null : middle + sign * spread[at]));
        return { ...line, main: values, ...(spread ? { high: edge(1), low: edge(-1) } : {}) };
      }
      const trend = trendOf(values);
      const isRawShown = lines.length === 1 || (isOfRuns && lines.length <= 3);
      const raw = isRawShown ? { raw: values } : {};
      if (!spread || lines.length > 1) return { ...line, main: trend, ...raw };
      const band = trendOf(spread);
      const bound = (sign) => trend.map((middle, at) => (middle === null ? null : middle + sign * (band[at] ?? 0)));
      return { ...line, main: trend, ...raw, high: bound(1), low: bound(-1) };
    });
    const label = curves.map(({ name, main }) => (lines.length > 1 ? `${name} ` : '') + rise(main)).join('; ');
    return { ...chart, curves, label };
  }

  /** A run or a reward has its colour from its place in the list, and from the seventh place on, dashes as well. */
  const strokeOf = (place) => ({
    stroke: colour(`--series-${1 + (place % 6)}`),
    dash: dashes[Math.floor(place / 6) % dashes.length],
  });

  /** The series of a curve. The page's legend names only one of them. */
  function seriesOf({ name, run, raw, high }, at, chart) {
    const isAlone = chart.curves.length === 1 && data.runs.length === 1;
    const { stroke, dash } = strokeOf(data.runs.length > 1 ? run : at);
    const plain = { value, points: { show: false } };
    // The page's legend leaves these out.
    const unnamed = { ...plain, class: 'bound' };
    const step = { ...(isAlone ? plain : unnamed), label: 'step', stroke, alpha: 0.35 };
    const points = chart.sparse ? { show: true, size: 5, fill: stroke } : { show: false };
    const label = isAlone ? (chart.sparse ? chart.title.toLowerCase() : 'trend') : name;
    return [
      ...(raw ? [step] : []),
      { label, stroke, dash, width: 2.5, points, value, spanGaps: chart.sparse },
      ...(high
        ? [
            { ...unnamed, label: '+ std', stroke: 'transparent' },
            { ...unnamed, label: '− std', stroke: 'transparent' },
          ]
        : []),
    ];
  }

  function plot(chart, width, axis, range) {
    const options = frame(chart, width, axisNames[axis]);
    options.cursor.dataIdx = nearestKnown;
    const tables = [];
    for (const [at, curve] of chart.curves.entries()) {
      const { run, main, raw, high, low } = curve;
      options.series.push(...seriesOf(curve, at, chart));
      const last = options.series.length - 1;
      if (high) options.bands.push({ series: [last - 1, last], fill: colour('--band') });
      const columns = [raw, main, high, low].filter(Boolean);
      tables.push(thin(rising(data.runs[run].axes[axis], columns, chart.sparse), Math.max(100, width), range));
    }
    return [options, uPlot.join(tables)];
  }

  /**
   * The rows that have a place on the axis, in its order. Where only some steps were measured, other rows are left out.
   */
  function rising(x, columns, isSparse) {
    let places = x.map((_, at) => at).filter((at) => x[at] !== null && !(isSparse && columns[0][at] === null));
    if (places.some((at, index) => index > 0 && x[at] < x[places[index - 1]]))
      places = places.sort((one, other) => x[one] - x[other]);
    return [x, ...columns].map((column) => places.map((at) => column[at]));
  }

  /** Curves of several runs are known at different places: the legend tells the nearest that a curve has. */
  function nearestKnown(plotted, series, at) {
    const values = plotted.data[series];
    if (series === 0 || values[at] !== undefined) return at;
    for (let distance = 1; distance < values.length; distance++) {
      if (values[at - distance] !== undefined) return at - distance;
      if (values[at + distance] !== undefined) return at + distance;
    }
    return at;
  }

  /** An axis that no run has is not offered. */
  function offerAxes() {
    for (const input of document.querySelectorAll('input[name=axis]')) {
      const isKnown = data.runs.some(({ axes }) => known(axes[input.value]).length);
      input.parentElement.hidden = !isKnown;
    }
  }

  function legend() {
    const names = data.runs.length > 1 ? data.runs.map(({ name }) => name) : [];
    const list = document.getElementById('runs');
    list.hidden = names.length === 0;
    list.replaceChildren(
      ...names.map((name, at) => {
        const item = document.createElement('li');
        const mark = document.createElement('i');
        mark.style.background = `var(--series-${1 + (at % 6)})`;
        item.append(mark, name);
        return item;
      }),
    );
  }

  const training = document.getElementById('training').closest('section');
  let charts;
  function draw() {
    training.hidden = data.charts.length === 0;
    offerAxes();
    legend();
    const shown = data.charts.map(prepared);
    if (charts) charts.update(shown);
    else charts = mount(document.getElementById('charts'), shown, plot);
    sampleGrids.update(data);
  }

  // The parts are kept as they were written, since what somebody has opened since is no change of them.
  const parts = new Map();
  for (const place of document.querySelectorAll('[data-part]')) parts.set(place.dataset.part, place.innerHTML);
  function update(next) {
    data = next;
    document.title = `${next.title} · eam-torch`;
    for (const [name, html] of Object.entries(next.parts)) {
      const written = document.createElement('template');
      written.innerHTML = html;
      if (parts.get(name) === written.innerHTML) continue;
      parts.set(name, written.innerHTML);
      document.querySelector(`[data-part="${name}"]`).replaceChildren(written.content);
    }
    draw();
  }

  sampleGrids.fillIn(data);
  draw();
  return { update, plotted: (key) => charts.plotted(key) };
})();
