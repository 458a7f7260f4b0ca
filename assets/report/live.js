// This script keeps a page of runs up to date while its server runs: lib/jobs/serve/feed.ts says what the server sends.
(() => {
  const { events } = JSON.parse(document.getElementById('stream').textContent);
  const report = typeof reportPage === 'undefined' ? undefined : reportPage;
  const sayIn = (id) => (text) => {
    const place = document.getElementById(id);
    if (place.textContent !== text) place.textContent = text;
  };
  const [sayConnection, sayAnswer] = [sayIn('connection'), sayIn('answer')];

  let data;
  let isStale = false;
  /** Nobody sees a page in the background: it is drawn when it is looked at. */
  function show() {
    isStale = document.hidden;
    if (!isStale && data) report.update(data);
  }
  document.addEventListener('visibilitychange', () => {
    if (isStale) show();
  });

  const keyOf = (chart, { run, name }) => JSON.stringify([chart.key, run, name]);

  /**
   * Appends new steps. Returns false where they have a line that was not there before, whose beginning is not known.
   */
  function appendRows({ charts, axes, parts }) {
    const added = new Map(charts.flatMap((chart) => chart.lines.map((line) => [keyOf(chart, line), line])));
    const known = new Set(data.charts.flatMap((chart) => chart.lines.map((line) => keyOf(chart, line))));
    if ([...added.keys()].some((key) => !known.has(key))) return false;
    data = {
      ...data,
      parts: { ...data.parts, ...parts },
      runs: data.runs.map((run, at) => ({ ...run, axes: appended(run.axes, axes[at]) })),
      charts: data.charts.map((chart) => {
        // New steps may lack a line: where it counts something, the count was 0; any other was not measured.
        const nothing = chart.key === 'dropped' ? 0 : null;
        const lines = chart.lines.map((line) => {
          const news = added.get(keyOf(chart, line));
          const join = (key) => [...line[key], ...(news?.[key] ?? axes[line.run].steps.map(() => nothing))];
          return { ...line, values: join('values'), ...(line.spread && { spread: join('spread') }) };
        });
        return { ...chart, lines };
      }),
    };
    return true;
  }
  const appended = (known, added) =>
    Object.fromEntries(Object.entries(known).map(([axis, values]) => [axis, [...values, ...added[axis]]]));

  const [save, stop, dialog] = ['save', 'stop', 'confirm'].map((id) => document.getElementById(id));
  function showStatus({ parts, canSave, canStop }) {
    for (const [name, html] of Object.entries(parts)) {
      const place = document.querySelector(`[data-live="${name}"]`);
      if (place && place.innerHTML !== html) place.innerHTML = html;
    }
    if (!save) return;
    // A button that has the focus would lose it where it is disabled.
    for (const [button, can] of [
      [save, canSave],
      [stop, canStop],
    ])
      button.setAttribute('aria-disabled', String(!can));
  }

  async function post(action, headers) {
    try {
      const response = await fetch(action, { method: 'POST', headers });
      sayAnswer(await response.text());
    } catch {
      sayAnswer('The server cannot be reached.');
    }
  }
  const isOff = (button) => button.getAttribute('aria-disabled') === 'true';
  save?.addEventListener('click', () => isOff(save) || post('checkpoint'));
  stop?.addEventListener('click', () => isOff(stop) || dialog.showModal());
  dialog?.addEventListener('close', () => {
    if (dialog.returnValue === 'stop') void post('stop', { 'eam-confirm': 'stop' });
    dialog.returnValue = '';
  });

  /** Milliseconds after which a connection that was refused is tried again; a cut one is the browser's own affair. */
  const tryAgain = 3000;
  let source;
  let isOver = false;
  const on = (event, work) =>
    source.addEventListener(event, ({ data: text }) => {
      isOver = false;
      sayConnection('');
      work(JSON.parse(text));
    });
  function listen() {
    source = new EventSource(events);
    on('data', (whole) => {
      // The page was made before there was a run, so that it has no report to update.
      if (!report) return location.reload();
      data = whole;
      show();
    });
    on('rows', (rows) => {
      if (appendRows(rows)) return show();
      // The server sends the whole data to a reader that connects anew.
      source.close();
      listen();
    });
    on('status', showStatus);
    on('reload', () => location.reload());
    on('end', () => {
      isOver = true;
      source.close();
      setTimeout(listen, tryAgain);
      sayConnection('The server has ended. What is shown stays as it is, and goes on where the server does.');
      for (const button of [save, stop]) button?.setAttribute('aria-disabled', 'true');
    });
    source.addEventListener('error', () => {
      if (!isOver)
        sayConnection(
          'Not connected: trying again. Where the server has begun anew, open the address that it printed.',
        );
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, tryAgain);
    });
  }
  listen();
})();
