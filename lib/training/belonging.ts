import { CheckpointError } from '../errors.js';
import { originOf } from '../files/origin.js';
import type { Model } from '../models/model.js';
import type { Algorithm } from './algorithm.js';

/** `--allow` and `trainer.resume` name by these words what a run belongs to. */
export type Belonging = 'model' | 'rewards' | 'algorithm' | 'data';

/** What a run belongs to: a checkpoint of it is of no use with another one. */
export const belongings = ['model', 'rewards', 'algorithm', 'data'] as const satisfies readonly Belonging[];

/** A fingerprint of each, of those that a run has. */
export type BelongsTo = Readonly<Partial<Record<Belonging, string>>>;

const others: Readonly<Record<Belonging, string>> = {
  model: 'another model (its files held something else)',
  rewards: 'other rewards, or other weights or files of them',
  algorithm: 'another algorithm, or other settings of it',
  data: 'other prompts or images, or in another order',
};

/** What tells a model from another: its files, of one that a program made itself its name and sizes. */
export async function modelIdentity(model: Model): Promise<string> {
  return (await (await originOf(model))?.identity()) ?? `${model.name} ${model.latentShape.join('×')}`;
}

/**
 * Refuses a checkpoint of a run that belonged to something else.
 * @param allow what may differ all the same
 * @throws CheckpointError that names what differs, and how to go on
 */
export function refuseOthers(
  directory: string,
  before: BelongsTo,
  now: BelongsTo,
  allow: readonly Belonging[] = [],
): void {
  const differing = belongings.filter(
    (what) => now[what] !== undefined && before[what] !== now[what] && !allow.includes(what),
  );
  if (differing.length === 0) return;
  const flags = differing.map((what) => `--allow ${what}`).join(' ');
  const names = differing.map((what) => `'${what}'`).join(', ');
  throw new CheckpointError(
    `${directory} was written by a run with ${differing.map((what) => others[what]).join('; and with ')}: take the ` +
      `same, or go on all the same with ${flags} (in JavaScript: allow: [${names}])`,
  );
}

/** What tells an algorithm from another: all but in which parts it samples and scores, which rounding alone tells. */
export const algorithmIdentity = ({ name, options }: Pick<Algorithm, 'name' | 'options'>): unknown => [
  name,
  { ...options, decodeSlice: undefined, rolloutBatch: undefined },
];
