import { appendRewards, rewardsByName, type SampleRewards } from '../../../training/measured-model.js';
import { spreadOf } from '../../../training/statistics.js';
import { changeOver, pairedDifferences, type Change } from '../../../training/student.js';
import type { Part } from './part.js';

/** These are the figures of one reward over one model's images. */
export interface RewardFigures {
  /** The mean over the images of all seeds; null where none has a finite value. */
  mean: number | null;
  /** The standard deviation over the images; null likewise. */
  std: number | null;
  /** The comparison with the pretrained model; left out of its own row. */
  change?: PairedFigures;
}

/** These figures compare a model with the pretrained one over pairs of images from the same noise, of all seeds. */
export interface PairedFigures extends Change {
  /** The share of pairs in which the model's reward is higher, a tie being half a win, in [0, 1]; null of no pairs. */
  winRate: number | null;
  /** How many pairs are tied. */
  ties: number;
}

/** This is one row of a {@link CheckpointTable}: the pretrained model, or a checkpoint. */
export interface TableRow {
  /** 'pretrained', or the run and the step. */
  name: string;
  /** The run's directory; left out of the pretrained model's row. */
  run?: string;
  /** The checkpoint's step; likewise. */
  step?: number;
  /** How many images were scored, over all seeds. */
  images: number;
  /** The figures of each reward, by its name. */
  rewards: Record<string, RewardFigures>;
  /** The fraction of images in which the judge sees what the prompt asked for; the mean over seeds. */
  accuracy?: number;
  /** The mean distance between images of a seed in the judge's features; the mean over seeds. */
  diversity?: number;
}

/** A model's parts: one for each seed. */
export interface RowParts extends Pick<TableRow, 'name' | 'run' | 'step'> {
  parts: readonly Part[];
}

/**
 * One row of figures.
 * @param base the pretrained model's parts, of the same seeds in the same order; undefined for its own row
 * @param prompts of the samples of one seed
 */
export function figuresOf(
  { parts, ...row }: RowParts,
  base: readonly Part[] | undefined,
  prompts: readonly string[],
  isSum: boolean,
): TableRow {
  const columns = joined(parts, isSum);
  const against = base && joined(base, isSum);
  const clusters = parts.flatMap(() => prompts);
  const rewards = Object.entries(columns).map(([name, values]) => {
    const { mean, std } = spreadOf(values);
    const change = against?.[name] && pairedFigures(against[name], values, clusters);
    return [name, { mean: finite(mean), std: finite(std), ...(change && { change }) }] as const;
  });
  return {
    ...row,
    images: clusters.length,
    rewards: Object.fromEntries(rewards),
    ...meanOver(parts, 'accuracy'),
    ...meanOver(parts, 'diversity'),
  };
}

/** Compares values pair by pair. @param clusters the prompt of each pair */
export function pairedFigures(
  before: readonly number[],
  after: readonly number[],
  clusters: readonly string[],
): PairedFigures {
  const differences = pairedDifferences(before, after, clusters);
  const ties = differences.filter(({ value }) => value === 0).length;
  const wins = differences.filter(({ value }) => value > 0).length + ties / 2;
  return { ...changeOver(differences), winRate: differences.length > 0 ? wins / differences.length : null, ties };
}

/** The columns of all seeds, one seed after another: the whole reward where it is one, and each that was scored. */
function joined(parts: readonly Part[], isSum: boolean): Record<string, readonly number[]> {
  const all: SampleRewards = { reward: [], rewards: {} };
  for (const { samples } of parts) appendRewards(all, samples);
  return isSum && Object.keys(all.rewards).length !== 1 ? rewardsByName(all) : all.rewards;
}

function meanOver<Key extends 'accuracy' | 'diversity'>(
  parts: readonly Part[],
  key: Key,
): Partial<Record<Key, number>> {
  const values = parts.flatMap((part) => part[key] ?? []);
  if (values.length < parts.length) return {};
  return { [key]: values.reduce((sum, value) => sum + value, 0) / values.length } as Partial<Record<Key, number>>;
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
