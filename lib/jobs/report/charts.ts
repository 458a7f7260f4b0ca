import { finite } from './page.js';
import { member, type ReadMetrics, type RunView } from './run-view.js';

/** One curve: a number, or null, for each step of a run. */
export interface Line {
  name: string;
  /** The place among the page's runs of the run whose steps these are. */
  run: number;
  values: (number | null)[];
  /** Half the width of a band around the curve. */
  spread?: (number | null)[];
}

export interface Chart {
  /** A page finds the chart by this key when its state changes. */
  key: string;
  title: string;
  note: string;
  /** The chart is as wide as the page. */
  wide?: boolean;
  /** The numbers were taken on some steps only: each is a point of its own, and none is smoothed. */
  sparse?: boolean;
  lines: Line[];
}

/** The axes that steps are drawn against. `evaluations` and `seconds` add up from the first step. */
export interface Axes {
  steps: number[];
  evaluations: (number | null)[];
  seconds: (number | null)[];
}

type Described = Omit<Chart, 'lines'>;

/** The charts of single numbers of metrics.jsonl, whose keys are those there. */
const reward: Described = {
  key: 'reward',
  title: 'Reward',
  note: 'mean of each batch, and its trend',
  wide: true,
};
const others: readonly Described[] = [
  {
    key: 'drift',
    title: 'Drift from the pretrained model',
    note: 'change of the velocity, relative to its own size',
    sparse: true,
  },
  { key: 'loss', title: 'Loss', note: 'mean squared distance to the matching target' },
  { key: 'accuracy', title: 'Accuracy', note: 'fraction of a batch that is read rightly' },
  { key: 'gradNorm', title: 'Gradient norm', note: 'before clipping' },
  { key: 'dropped', title: 'Dropped samples', note: 'left out of a step, since something was not finite' },
];

/**
 * The charts of some runs: in each a line a run, of those that have the number. With one run alone, the weighted
 * rewards, which the reward is the sum of, are lines of one chart.
 * @param names what the runs are called, in their order
 */
export function chartsOf(views: readonly RunView[], names: readonly string[]): Chart[] {
  const chart = (described: Described, of: (metrics: ReadMetrics) => unknown, spread?: string): Chart => ({
    ...described,
    lines: views.flatMap(({ metrics }, run) => {
      const values = metrics.map((step) => finite(of(step)));
      if (!values.some((value) => value !== null)) return [];
      const band = spread === undefined ? {} : { spread: metrics.map((step) => finite(step[spread])) };
      return [{ name: names[run]!, run, values, ...band }];
    }),
  });
  const rewards = rewardNames(views);
  const each = rewards.map((name) =>
    chart({ key: `rewards/${name}`, title: name, note: 'this reward alone, unweighted' }, (step) =>
      member(step['rewards'], name),
    ),
  );
  const all = [
    chart(reward, (step) => step['reward'], 'rewardStd'),
    ...each,
    ...(views.length === 1 ? [weightedRewards(views[0]!, rewards)] : []),
    ...others.map((described) => chart(described, (step) => step[described.key])),
  ];
  return all.filter(({ key, lines }) =>
    lines.some(({ values }) => key !== 'dropped' || values.some((value) => value !== 0)),
  );
}

function weightedRewards({ metrics }: RunView, rewards: readonly string[]): Chart {
  return {
    key: 'weightedRewards',
    title: 'Weighted rewards',
    note: 'each reward times its weight, the trends of what the reward is the sum of',
    lines: rewards.map((name) => ({
      name,
      run: 0,
      values: metrics.map(({ weightedRewards: each }) => finite(member(each, name))),
    })),
  };
}

/** The names of the rewards where a run has several; one alone is the reward itself. */
function rewardNames(views: readonly RunView[]): string[] {
  const namesOf = ({ metrics }: RunView) => Object.keys(Object(metrics.at(-1)?.['rewards']) as object);
  return views.some((view) => namesOf(view).length > 1) ? [...new Set(views.flatMap(namesOf))] : [];
}

/** Where each step is on the three axes: some commands log totals, others what a step took. */
export function axesOf(metrics: readonly ReadMetrics[]): Axes {
  let done = 0;
  const evaluations = metrics.map((step) => {
    const { total } = step;
    const known = costs.flatMap((name) => finite(total === undefined ? step[name] : member(total, name)) ?? []);
    const sum = known.reduce((whole, count) => whole + count, 0);
    done = total === undefined ? done + sum : sum;
    return known.length ? done : null;
  });
  const seconds = metrics.map(({ total, seconds }) => finite(total === undefined ? seconds : member(total, 'seconds')));
  return { steps: metrics.map(({ step }) => step), evaluations, seconds };
}

const costs = ['forwards', 'vjps', 'backwards'];
