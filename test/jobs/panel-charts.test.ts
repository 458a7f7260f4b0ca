// The charts of what a run's panel measured.
import { describe, expect, it } from 'vitest';

import { panelCharts } from '../../lib/jobs/report/panel-charts.js';
import type { RunView } from '../../lib/jobs/report/run-view.js';

const panel = (edges: number, alarms: string[] = []) => ({
  edges,
  drift: 0.1,
  judges: { mine: -edges },
  fell: { mine: 1 },
  watched: { other: 2 },
  driftByTime: { '0.00-0.25': 0.1, '0.25-0.50': 0.2 },
  alarms,
});
const view = (metrics: object[], baseline?: object) => ({ metrics, baseline }) as unknown as RunView;
const run = view(
  [{ step: 1 }, { step: 2, panel: panel(0.2) }, { step: 3 }, { step: 4, panel: panel(0.9, ['edges', 'judge']) }],
  {
    count: 16,
    edges: { mean: 0.1, std: 0.02 },
    judges: { mine: { mean: -0.1, std: 0.3 } },
    watched: { other: { mean: 1, std: 0.5 } },
  },
);

describe('panelCharts', () => {
  it('draws each measure beside the pretrained mean and its band, and tells of alarms', () => {
    const charts = panelCharts([run], ['a']);
    expect(charts.map(({ title }) => title)).toEqual(['Judge: mine', 'Watched: other', 'Edges', 'Drift by time']);
    const edges = charts.find(({ key }) => key === 'panel/edges')!;
    expect(edges.note).toMatch(/^The edge density: .* Alarm after step 4\.$/);
    expect(edges.lines).toEqual([
      { name: 'a', run: 0, values: [null, 0.2, null, 0.9] },
      { name: 'pretrained', run: 0, values: [null, 0.1, null, 0.1], spread: [null, 0.02, null, 0.02] },
    ]);
    expect(charts[0]!.note).toContain('Alarm after step 4.');
    expect(charts[1]!.note).toBe('The mean score of a reward that is only watched.');
    expect(charts.at(-1)!.lines.map(({ name }) => name)).toEqual(['0.00-0.25', '0.25-0.50']);
  });

  it('tells several runs and their pretrained models apart', () => {
    const edges = panelCharts([run, view([{ step: 2, panel: panel(0.3) }])], ['a', 'b']).find(
      ({ key }) => key === 'panel/edges',
    )!;
    expect(edges.lines.map(({ name, run: place }) => [name, place])).toEqual([
      ['a', 0],
      ['a, pretrained', 0],
      ['b', 1],
    ]);
  });

  it('has none of a run without a panel', () => {
    expect(panelCharts([view([{ step: 1 }])], ['a'])).toEqual([]);
  });
});
