import type { FinishedComparison } from './comparison.js';
import type { Axis } from './curves.js';
import { measures, type EqualAxis, type EqualCost, type MeasureName } from './equal-cost.js';
import { fixed, times, whole } from '../figures.js';
import type { SpeedUp, SpeedUpLevel } from './speed-up.js';
import { atEdge } from './sweep.js';

const axisNames: Record<Axis, string> = {
  evaluations: 'network evaluations',
  seconds: 'training seconds',
  steps: 'steps',
};

/** What the comparison of two contenders comes to, whoever it favours. */
export function speedUpSentences({ first, other, headline, best }: SpeedUp, seeds: number): string[] {
  const sentences: string[] = [];
  if (headline) {
    const parts = (['evaluations', 'seconds', 'steps'] as const).map((axis) => ratioPhrase(headline, axis, seeds));
    const common =
      seeds > 1 ? 'the highest reward that every run of both reached' : 'the highest reward that both reached';
    sentences.push(
      `To ${fixed(headline.reward, 3)}, ${common}, ${first} needs ${parts[0]}, ${parts[1]} and ${parts[2]} than ` +
        `${other}.`,
    );
  } else {
    sentences.push(
      `No reward above the pretrained model's was reached by every run of ${first} and ${other}: there is no ` +
        'speed-up to state for all seeds.',
    );
  }
  if (best.first !== best.other) {
    const [winner, loser] = best.first > best.other ? [first, other] : [other, first];
    const [high, low] = best.first > best.other ? [best.first, best.other] : [best.other, best.first];
    sentences.push(
      `Within its budget ${winner}'s mean came to ${fixed(high, 3)}; ${loser}'s never went beyond ${fixed(low, 3)}.`,
    );
  }
  return sentences;
}

function ratioPhrase(level: SpeedUpLevel, axis: Axis, seeds: number): string {
  const { ratio: onMeans, pairs } = level[axis];
  const name = axisNames[axis];
  const factor = onMeans ?? pairs?.mean;
  if (factor === undefined) return `an unknown number of ${name}`;
  const spread = (low: number, high: number) => (seeds > 1 ? ` (seed by seed ${times(low)} to ${times(high)})` : '');
  if (factor >= 1) return `${times(factor)} fewer ${name}${pairs ? spread(pairs.low, pairs.high) : ''}`;
  return `${times(1 / factor)} more ${name}${pairs ? spread(1 / pairs.high, 1 / pairs.low) : ''}`;
}

/** What a reader of the results should know about the sweep. */
export function sweepWarnings({ sweep, contenders }: FinishedComparison): string[] {
  return contenders.flatMap(({ name }) => {
    const entries = sweep.filter(({ contender }) => contender === name);
    const edge = entries.length ? atEdge(entries) : undefined;
    return edge ? [`The rate of ${name} is the ${edge} that was tried; a better one may lie beyond it.`] : [];
  });
}

export function failureSentences({ contenders }: FinishedComparison): string[] {
  return contenders.flatMap(({ name, runs }) =>
    runs.flatMap(({ seed, failure }) =>
      failure === undefined ? [] : [`${name} with seed ${seed} ended early: ${failure}`],
    ),
  );
}

const costNames: Record<EqualAxis, (cost: number) => string> = {
  evaluations: (cost) => `${whole(cost)} network evaluations`,
  seconds: (cost) => `${fixed(cost, 0)} seconds of training`,
};

/** What the tables at one cost are called. */
export const equalCostTitle = ({ axis, cost }: EqualCost): string => `After ${costNames[axis](cost)}`;

const measureNames: Record<MeasureName, string> = {
  reward: 'reward',
  accuracy: "the judge's accuracy",
  diversity: 'diversity',
  drift: 'drift',
};

/** Where the first contender is behind others at one cost, measure by measure, by the means over seeds. */
export function lossSentences({ contenders }: FinishedComparison, equal: EqualCost): string[] {
  const first = contenders[0]!.name;
  return (Object.keys(measures) as MeasureName[]).flatMap((name) => {
    const [own, ...others] = equal.measures[name];
    if (!own) return [];
    const better = others.flatMap((other, index) => {
      if (!other || (measures[name] ? other.mean <= own.mean : other.mean >= own.mean)) return [];
      return [`${contenders[index + 1]!.name} (${fixed(other.mean, 3)})`];
    });
    if (better.length === 0) return [];
    return [
      `${equalCostTitle(equal)} ${first} is behind in ${measureNames[name]}, with ${fixed(own.mean, 3)}, to ` +
        `${better.join(', ')}.`,
    ];
  });
}
