import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import type { Spread } from '../statistics.js';
import { measureNames, measureOf, spreadFor, type LimitUnit, type MeasureName } from './measures.js';

/** The bound beyond which a measure is an alarm, as `'< 0.7×'` says it. */
export interface Limit {
  measure: MeasureName;
  relation: '<' | '>' | '±';
  amount: number;
  unit: LimitUnit;
}

/** The figures that were measured: means over the panel's images, and the scores of judges by their names. */
export type Readings = Partial<Record<Exclude<MeasureName, 'judge'>, number>> & {
  judges: Record<string, number>;
  /** The share of images that each judge scores lower than the pretrained model's from the same noise, in [0, 1]. */
  fell: Record<string, number>;
};

/**
 * The figures of the pretrained model's images, with their spread. A measure that applies to none of them is left out.
 */
export type Baseline = Partial<Record<MeasureName, Spread>> & {
  /** How many images were measured. */
  count: number;
  judges: Record<string, Spread>;
};

/** A limit that was crossed. */
export interface Alarm {
  measure: MeasureName;
  /** The measured figure, the pretrained model's and the limit, in words. */
  text: string;
}

const unitWords: Readonly<Record<string, LimitUnit>> = { '': '', σ: 'σ', s: 'σ', sigma: 'σ', '×': '×', x: '×' };
const grammar = /^(<|>|±|\+-)\s*([-−]?(?:\d+\.?\d*|\.\d+))\s*(σ|s|sigma|×|x)?$/;
const examples = { σ: '"< −0.5σ"', '×': '"< 0.7×"', '': '"> 0.3"' } as const;

/**
 * Reads a limit.
 * @returns the limit, or why it is none
 */
function read(measure: MeasureName, text: string): Limit | string {
  const { units } = measureOf(measure);
  const known = units.map((unit) => examples[unit]).join(' or ');
  const match = grammar.exec(text.trim());
  if (!match) return `expected <, > or ±, a number and its unit, such as ${known}`;
  const [, sign, digits, word = ''] = match;
  const relation = sign === '+-' ? '±' : (sign as Limit['relation']);
  const amount = Number(digits!.replace('−', '-'));
  const unit = unitWords[word]!;
  if (!units.includes(unit)) return `expected a limit of ${measure} ${unitText(units)}, such as ${known}`;
  if (relation === '±' && (unit !== 'σ' || amount <= 0)) return 'expected a positive number of σ after ±';
  if (unit === '×' && amount < 0) return 'expected a multiple of at least 0';
  return { measure, relation, amount, unit };
}

const unitText = (units: readonly LimitUnit[]): string =>
  units.map((unit) => (unit === 'σ' ? 'in σ' : unit === '×' ? 'as a multiple ×' : 'as a plain number')).join(' or ');

const limitOf = (measure: MeasureName) =>
  z
    .union([
      z.literal(false),
      z.string().superRefine((text, context) => {
        const limit = read(measure, text);
        if (typeof limit === 'string') context.addIssue({ code: 'custom', message: limit });
      }),
    ])
    .optional()
    .describe(describeLimit(measure));

function describeLimit(measure: MeasureName): string {
  const { text, limit } = measureOf(measure);
  return `${text} Where nothing is said here, it is ${limit ? `an alarm at ${limit}` : 'no alarm'}.`;
}

/** The values that a configuration's `stopWhen` may have: a limit for each measure, or false for none. */
export const stopWhenSchema = z.strictObject(
  Object.fromEntries(measureNames.map((name) => [name, limitOf(name)])) as Record<
    MeasureName,
    ReturnType<typeof limitOf>
  >,
);
export type StopWhen = z.input<typeof stopWhenSchema>;

/**
 * Reads a limit of a measure, such as `< 0.7×`.
 * @throws ConfigError for a text that is none
 */
export function parseLimit(measure: MeasureName, text: string): Limit {
  const limit = read(measure, text);
  if (typeof limit !== 'string') return limit;
  throw new ConfigError(`stopWhen: ${measure}: ${limit}, got ${JSON.stringify(text)}`);
}

/** The limits of a run. */
export interface Limits {
  /** The limits that end the run. */
  stops: readonly Limit[];
  /** The limits that are only told of, while the run goes on. */
  notes: readonly Limit[];
}

/** The limits of `stopWhen`; the measures that it says nothing of have their own, which end no run. */
export function limitsOf(stopWhen: StopWhen = {}): Limits {
  const stops = measureNames.flatMap((measure) => {
    const text = stopWhen[measure];
    return typeof text === 'string' ? [parseLimit(measure, text)] : [];
  });
  const notes = measureNames.flatMap((measure) => {
    const { limit } = measureOf(measure);
    return stopWhen[measure] === undefined && limit !== undefined ? [parseLimit(measure, limit)] : [];
  });
  return { stops, notes };
}

/** The limits that were crossed, one of several judges' once each. */
export function alarmsOf(limits: readonly Limit[], readings: Readings, baseline: Baseline): Alarm[] {
  return limits.flatMap((limit) => {
    const { measure } = limit;
    if (measure === 'judge')
      return Object.entries(readings.judges).flatMap(([name, value]) =>
        limit.relation === '<' && !isShared(readings.fell[name] ?? 0, baseline.count)
          ? []
          : alarmOf(limit, `judge ${name}`, value, baseline.judges[name]),
      );
    return alarmOf(limit, measure, readings[measure], baseline[measure]);
  });
}

/**
 * Whether more images fell than would by chance, since a single image that is misread can take the mean down. It is a
 * sign test at 5 %, by the normal distribution.
 */
const isShared = (share: number, count: number): boolean => share >= Math.min(1, 0.5 + 0.82 / Math.sqrt(count));

function alarmOf(limit: Limit, name: string, value: number | undefined, base: Spread | undefined): Alarm[] {
  if (value === undefined || !Number.isFinite(value)) return [];
  const { measure, relation, amount, unit } = limit;
  if (unit === '') {
    if (!isPast(relation, value, amount)) return [];
    return [{ measure, text: `${name} is ${short(value)}, ${words[relation]} ${short(amount)}` }];
  }
  if (!base) return [];
  const relative = unit === '×' ? value / meanFor(limit, base) : (value - base.mean) / spreadFor(measure, base);
  if (!isPast(relation, relative, amount)) return [];
  const found = unit === '×' ? `${short(relative)}×` : `${signed(relative)}σ from`;
  const wanted = unit === '×' || relation === '±' ? short(amount) : signed(amount);
  return [
    {
      measure,
      text:
        `${name} is ${short(value)}, ${found} the pretrained model's ${short(base.mean)}, ` +
        `${words[relation]}${relation === '±' ? '' : ' '}${wanted}${unit}`,
    },
  ];
}

/** Next to a mean of 0 any value would be many times as large, so that it counts as at least the measure's least. */
const meanFor = ({ measure, relation }: Limit, { mean }: Spread): number =>
  relation === '>' ? Math.max(mean, measureOf(measure).least) : mean;

const words = { '<': 'below', '>': 'above', '±': 'beyond ±' } as const;

function isPast(relation: Limit['relation'], value: number, amount: number): boolean {
  if (relation === '<') return value < amount;
  return relation === '>' ? value > amount : Math.abs(value) > amount;
}

const short = (value: number): string => String(Number(value.toPrecision(3)));
const signed = (value: number): string => `${value < 0 ? '−' : '+'}${short(Math.abs(value))}`;
