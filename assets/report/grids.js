// The grids of samples: the pretrained model's beside that of the step that is chosen.
// biome-ignore lint/correctness/noUnusedVariables: the page holds report.js after this
const sampleGrids = (() => {
  const section = document.getElementById('grids');
  const host = section.querySelector('.grids');
  const stepper = section.querySelector('.stepper');
  const slider = stepper.querySelector('input');
  const output = stepper.querySelector('output');
  let [runs, steps, onePretrained] = [[], [], true];

  /** Takes pictures from the page's HTML, since the data does not repeat those that the HTML has. */
  function fillIn(data) {
    for (const image of host.querySelectorAll('figure[data-step] img')) {
      const { run, step } = image.parentElement.dataset;
      const grid = data.runs[run]?.grids.find((each) => each.step === Number(step));
      if (grid && grid.src === null) grid.src = image.getAttribute('src');
    }
  }

  /** One figure for each grid that is seen at a time. A key that stays keeps its element. */
  function figuresAt(step) {
    return runs.flatMap(({ name, grids }, run) => {
      const before = grids.find((grid) => grid.step === 0);
      const own = before && (run === 0 || !onePretrained);
      const reached = grids.filter((grid) => grid.step > 0 && grid.step <= step).pop();
      const title = runs.length > 1 ? name : '';
      const pretrained = runs.length > 1 && onePretrained ? '' : title;
      return [
        ...(own ? [{ key: `before-${run}`, title: pretrained, grid: before, caption: 'Before' }] : []),
        ...(reached || grids.some((grid) => grid.step > 0)
          ? [{ key: `run-${run}`, title, grid: reached, caption: reached ? `Step ${reached.step}` : 'no grid yet' }]
          : []),
      ];
    });
  }

  function figureOf(key) {
    const known = [...host.children].find((figure) => figure.dataset.key === key);
    if (known) return known;
    const figure = document.createElement('figure');
    figure.dataset.key = key;
    const caption = document.createElement('figcaption');
    caption.append(document.createElement('strong'), ' ', document.createElement('span'));
    figure.append(document.createElement('img'), caption);
    return figure;
  }

  function show() {
    const step = steps[slider.value] ?? 0;
    const figures = figuresAt(step).map(({ key, title, grid, caption }) => {
      const figure = figureOf(key);
      const image = figure.querySelector('img');
      image.hidden = !grid;
      if (grid) {
        if (image.getAttribute('src') !== grid.src) image.src = grid.src;
        image.alt = grid.alt;
      }
      const [strong, span] = figure.querySelector('figcaption').children;
      strong.textContent = title || caption;
      span.textContent = title ? caption : '';
      return figure;
    });
    if (figures.length !== host.children.length || figures.some((figure, at) => host.children[at] !== figure))
      host.replaceChildren(...figures);
    const words = `step ${step}`;
    slider.setAttribute('aria-valuetext', words);
    output.textContent = `${words} of ${steps[steps.length - 1] ?? 0}`;
  }

  /** Shows the grids of `data`. Whoever looks at the last step follows the run; any other choice is kept. */
  function update(data) {
    const wasLast = Number(slider.value) === Number(slider.max);
    const chosen = steps[slider.value];
    ({ runs, onePretrained } = data);
    steps = [...new Set(runs.flatMap(({ grids }) => grids.map((grid) => grid.step)))]
      .filter((step) => step > 0)
      .sort((one, other) => one - other);
    section.hidden = runs.every(({ grids }) => grids.length === 0);
    stepper.hidden = steps.length < 2;
    slider.max = String(Math.max(0, steps.length - 1));
    const place = wasLast ? -1 : steps.indexOf(chosen);
    slider.value = String(place < 0 ? slider.max : place);
    show();
  }

  slider.addEventListener('input', show);
  return { fillIn, update };
})();
