// Rewards and judges that a program made, in a configuration.

import { z } from 'zod';

import { lacksMade, Made } from '../schema/made.js';
import { judgeKind, rewardKind, weight } from './reward-kind.js';
import { hasGradient, type Judge, type Reward } from './reward.js';

const name = 'made-in-code';
const shape = {
  name: z.literal(name).describe('A program made it.'),
  label: z.string().describe('Logs and metrics call it by this name.'),
};
const isMade = (value: unknown): boolean => value instanceof Made;

export const madeRewardKind = rewardKind({
  schema: z
    .strictObject({ ...shape, weight, reward: z.custom<Made<Reward>>(isMade, lacksMade('reward')) })
    .meta({ code: true }),
  create: ({ reward }) => reward.thing,
  differentiable: ({ reward }) => hasGradient(reward.thing),
  // Nobody knows what it has loaded.
  locate: async () => undefined,
});

export const madeJudgeKind = judgeKind({
  schema: z.strictObject({ ...shape, judge: z.custom<Made<Judge>>(isMade, lacksMade('judge')) }).meta({ code: true }),
  create: ({ judge }) => judge.thing,
  locate: () => [],
});

const hasMethod = (value: unknown, method: string): value is { name: string } =>
  typeof value === 'object' &&
  value !== null &&
  typeof Reflect.get(value, method) === 'function' &&
  typeof Reflect.get(value, 'name') === 'string';

/** A reward of a configuration; one that a program made, alone or as [reward, weight], becomes a kind of its own. */
export function withMadeReward(value: unknown): unknown {
  const [reward, weight] = Array.isArray(value) && value.length === 2 ? (value as unknown[]) : [value, 1];
  return hasMethod(reward, 'score') ? { name, label: reward.name, weight, reward: new Made(reward) } : value;
}

/** Stands for a judge that a program made as {@link withMadeReward} does for a reward. */
export const withMadeJudge = (value: unknown): unknown =>
  hasMethod(value, 'judge') ? { name, label: value.name, judge: new Made(value) } : value;

/** What a run's record says of rewards and judges, as if what a program made were still there. */
export function withStandIns(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withStandIns);
  if (typeof value !== 'object' || value === null) return value;
  if ((value as { name?: unknown }).name === name)
    return { ...value, ['weight' in value ? 'reward' : 'judge']: new Made(undefined) };
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withStandIns(entry)]));
}
