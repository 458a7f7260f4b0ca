import type { PanelMetrics, StepMetrics } from './metrics.js';

/** What TensorBoard and Weights & Biases call a metric, and what it is. */
interface Metric {
  /** Metrics of one group, which comes before the slash, are shown together. */
  name: string;
  text: string;
}

/** Every job's metrics of a step, as metrics.jsonl has them; the step itself is their axis. */
type Logged = Required<Omit<StepMetrics, 'step'>> & { drift: number; accuracy: number; panel: PanelMetrics };

/** Every metric of a step, by its key in metrics.jsonl. One of several has their names after a further slash. */
export const stepMetrics: Readonly<Record<keyof Logged, Metric>> = {
  reward: { name: 'reward/mean', text: 'The mean of the reward over the batch.' },
  rewardStd: { name: 'reward/std', text: 'The standard deviation of the reward over the batch.' },
  rewards: { name: 'rewards', text: 'The mean of each reward, unweighted.' },
  weightedRewards: { name: 'weighted-rewards', text: 'The mean of each reward times its weight.' },
  nonFiniteRewards: { name: 'non-finite-rewards', text: 'How many values of each reward were not finite.' },
  loss: { name: 'training/loss', text: "The mean of the algorithm's loss." },
  accuracy: { name: 'training/accuracy', text: 'The fraction of a batch that a classifier in training reads rightly.' },
  gradNorm: { name: 'training/gradient-norm', text: 'The norm of all gradients together, before it was clipped.' },
  learningRate: { name: 'training/learning-rate', text: "The step's learning rate." },
  drift: { name: 'training/drift', text: 'How far the velocity is from the pretrained one.' },
  panel: { name: 'panel', text: 'What the panel measured: each of its measures, by name.' },
  dropped: { name: 'training/dropped', text: 'How many samples were left out, as something was not finite.' },
  clipped: { name: 'training/clipped', text: 'How many samples had their reward gradient clipped.' },
  capped: { name: 'training/capped', text: 'How many terms of the loss reached their cap.' },
  skipped: { name: 'training/skipped', text: '1 where the update was left out, else 0.' },
  rewardGradientNorm: { name: 'training/reward-gradient-norm', text: "The mean norm of the reward's gradient." },
  scoreNorm: { name: 'training/score-norm', text: 'The mean norm of the pretrained score at the endpoint.' },
  effectiveShare: { name: 'training/effective-share', text: "The share of a prompt's endpoints with the weight." },
  modes: { name: 'modes', text: 'What the term that corrects the weights of modes measured.' },
  forwards: { name: 'cost/forwards', text: "The step's velocities." },
  vjps: { name: 'cost/vjps', text: "The step's vector–Jacobian products." },
  backwards: { name: 'cost/backwards', text: "The step's backward passes." },
  seconds: { name: 'cost/seconds', text: 'Seconds that the step took.' },
  stages: { name: 'cost/stages', text: 'Seconds of the step by rollout, reward, matching and update.' },
  total: { name: 'total', text: 'Evaluations and seconds since the first step.' },
};

/** A number and the name that it is logged by. */
export type Scalar = readonly [name: string, value: number];

/** The numbers of a step by their names; those that are not finite are left out. */
export function scalarsOf(metrics: object): Scalar[] {
  return Object.entries(metrics).flatMap(([key, value]: [string, unknown]) => {
    if (key === 'step') return [];
    return numbersIn(value, Object.hasOwn(stepMetrics, key) ? stepMetrics[key as keyof Logged].name : key);
  });
}

/** The numbers of an evaluation, as evaluation.json has them. */
export const evaluationScalars = (evaluation: object): Scalar[] => numbersIn(evaluation, 'evaluation');

/** The numbers of a measurement on a comparison's tracking set. */
export const trackingScalars = (measures: object): Scalar[] => numbersIn(measures, 'tracking');

function numbersIn(value: unknown, name: string): Scalar[] {
  if (typeof value === 'boolean') return [[name, Number(value)]];
  if (typeof value === 'number') return Number.isFinite(value) ? [[name, value]] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, entry]) => numbersIn(entry, `${name}/${key}`));
}
