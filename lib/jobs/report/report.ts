import type { GridSource } from './grids.js';
import { chartSection, escapeHtml, renderPage, type Page } from './page.js';
import { pageData, type PageData, type PartName } from './page-data.js';
import type { RunView } from './run-view.js';

/**
 * A page that shows one run, or several side by side. Charts, styles and scripts are in it, and grids as `source` has
 * them. What it shows can be replaced without building it anew: assets/report/report.js says how.
 * @param more what another page of runs has besides: sections after the header, and styles and scripts of
 *   assets/report, which come last
 */
export async function renderReport(
  views: readonly RunView[],
  source: GridSource,
  more: Partial<Pick<Page, 'sections' | 'styles' | 'scripts' | 'nonce'>> = {},
): Promise<string> {
  const data = await pageData(views, source);
  const { title, parts, ...drawn } = data;
  const place = (name: PartName) => `<div data-part="${name}">${parts[name]}</div>`;
  return renderPage({
    title,
    ...more,
    header: place('header'),
    sections: [
      ...(more.sections ?? []),
      place('figures'),
      gridSection(data),
      chartSection(
        'training',
        'Training',
        { steps: 'steps', evaluations: 'network evaluations', seconds: 'seconds' },
        '<ul class="legend" id="runs" aria-label="Runs" hidden></ul>',
      ),
      place('evaluation'),
      place('examples'),
      place('settings'),
      place('configuration'),
    ],
    footer: place('footer'),
    data: withoutShown(drawn),
    scripts: ['charts.js', 'thinning.js', 'grids.js', 'report.js', ...(more.scripts ?? [])],
  });
}

/** Without JavaScript, the first and the last grid of each run are seen. */
const shownOf = ({ grids }: PageData['runs'][number]) => grids.filter((_, at) => at === 0 || at === grids.length - 1);

/** The data does not repeat a picture that the HTML has. */
function withoutShown(drawn: Omit<PageData, 'title' | 'parts'>): object {
  const runs = drawn.runs.map((run) => {
    const shown = shownOf(run);
    return { ...run, grids: run.grids.map((grid) => (shown.includes(grid) ? { ...grid, src: null } : grid)) };
  });
  return { ...drawn, runs };
}

function gridSection({ runs, parts }: PageData): string {
  const figures = runs.flatMap((run, at) =>
    shownOf(run).map(
      ({ step, label, alt, src }) => `<figure data-run="${at}" data-step="${step}">
<img src="${escapeHtml(src ?? '')}" alt="${escapeHtml(alt)}">
<figcaption><strong>${escapeHtml(run.name)}</strong> ${escapeHtml(label)}</figcaption>
</figure>`,
    ),
  );
  return `<section aria-labelledby="samples" id="grids"${figures.length ? '' : ' hidden'}>
<h2 id="samples">Samples</h2>
<div data-part="noise">${parts.noise}</div>
<div class="stepper" hidden>
<label for="grid-step">Step</label>
<input type="range" id="grid-step" min="0" max="0" step="1" value="0">
<output for="grid-step"></output>
</div>
<div class="grids">
${figures.join('\n')}
</div>
</section>`;
}
