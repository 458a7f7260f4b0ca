import type { FinetuneSettings } from '../settings/finetune.js';
import type { ModelDType } from '../../models/model.js';
import { dtypeOf } from '../../rewards/registry.js';
import { differentiatedEvaluations, drawsSamples, imagesPerSample } from '../../training/evaluations.js';
import { isSliced, rewardParts } from './reward-parts.js';
import { elementBytes, type ComponentFootprint, type ModelFootprint } from '../../models/footprint.js';
import { folds, rolloutRows } from './rollout.js';

/** A stretch of a fine-tuning, and the bytes that it takes, by what takes them. */
export interface Phase {
  /** What is done in it: it completes "while …". */
  name: string;
  /** How many bytes it takes at its peak. */
  bytes: number;
  /** Bytes of each thing that is in memory then, by name; they sum to `bytes`. */
  parts: Record<string, number>;
  /** What makes them fewer: it completes "less is needed with …". */
  less: string[];
}

/** The phase in which prompts are encoded, which the cache may spare. */
export const encodingPhase = 'encoding prompts';

/** The phase in which images are decoded and scored. */
export const scoringPhase = 'decoding and scoring';

/** Latents beside those that a phase is about: a solver's, noise, what is combined. */
const solverStates = 4;

const weights = (components: readonly ComponentFootprint[]): number =>
  components.reduce((sum, { parameters, dtype }) => sum + parameters * elementBytes[dtype], 0);

/** How many graphs of the denoiser a reward's gradient goes through, if any: with guidance two a sample. */
function denoiserBranches(algorithm: FinetuneSettings['algorithm']): number {
  return algorithm.name === 'eam' && algorithm.rewardThroughDenoiser ? lossBranches(algorithm) : 0;
}

/** How many evaluations of the network a term of the loss takes. */
const lossBranches = (algorithm: FinetuneSettings['algorithm']): number =>
  algorithm.name === 'eam' && algorithm.guidedLoss && algorithm.guidance !== 1 ? 2 : 1;

/** Every phase of a fine-tuning, in order, without those that do not come; docs/plan.md derives the formulae. */
export function phasesOf(config: FinetuneSettings, model: ModelFootprint, rewards: number): Phase[] {
  const { algorithm, batch, samples, optimizer, device } = config;
  const { decodeSlice, microBatch, guidance } = algorithm;
  const guided = guidance !== 1;
  const latents = (count: number) => 4 * model.latent * count;
  const images = (count: number) => 4 * model.image * count;
  const conditioning = (count: number, both: boolean) => model.conditioning * count * (both ? 2 : 1);
  const part = microBatch || batch;
  const always = {
    networks: weights(model.networks),
    'adapter and optimizer': 4 * model.trainable * (optimizer.emaDecay > 0 ? 4 : 3),
    rewards,
  };
  const phase = (name: string, parts: Record<string, number>, less: readonly string[]): Phase => {
    const all = Object.fromEntries(Object.entries({ ...always, ...parts }).filter(([, bytes]) => bytes > 0));
    return {
      name,
      bytes: Object.values(all).reduce((sum, bytes) => sum + bytes, 0),
      parts: all,
      less: [...less, ...lighterWeights(config)],
    };
  };
  const { count: draw, isGuided: drawGuided, setting } = drawnAtOnce(config, model.sampleBatch);
  const folded = folds(config) ? model.folded : 0;
  const rolls = drawsSamples(algorithm);

  const held = {
    conditioning: conditioning(batch, guided),
    latents: latents(batch) * (algorithm.name === 'am' ? algorithm.steps + 1 + solverStates : solverStates),
  };
  // Images of all samples, and the graphs of the rollout's last steps, kept unless micro-batches make them anew.
  const scored = batch * imagesPerSample(algorithm);
  const differentiated = differentiatedEvaluations(algorithm);
  const keptSteps = microBatch ? 0 : model.train(scored) * differentiated;
  const guidedLoss = lossBranches(algorithm);
  const matched = Math.min(
    part === batch && !microBatch ? Infinity : part,
    algorithm.name === 'eam' ? batch * algorithm.renoisings : scored,
  );
  const unread = weights(model.networks.filter(({ mapped }) => mapped));
  const smaller = ['a smaller image', 'a smaller batch'];
  const microBatched = lowered('algorithm.microBatch', microBatch);
  const sliced = lowered('algorithm.decodeSlice', decodeSlice);
  const encoding = phase(
    encodingPhase,
    { networks: always.networks - unread, encoders: weights(model.encoders), activations: model.encode },
    [
      'text embeddings in the cache: where another machine has encoded these prompts, encoders are not loaded ' +
        '(docs/stable-diffusion.md)',
    ],
  );
  return [
    ...(model.prompts.missing ? [encoding] : []),
    phase(
      'drawing samples',
      {
        // Both conditionings of a guided drawing, and the rows of both in one.
        conditioning: conditioning(draw, drawGuided) * (drawGuided ? 2 : 1),
        latents: latents(draw) * solverStates,
        'weights with the adapter folded in': folded,
        activations: Math.max(model.evaluate(draw * (drawGuided ? 2 : 1)), model.decode(draw) + images(draw)),
        // A batch on the device; all of them in the memory that the CPU computes in.
        images: images(draw) + (device === 'cpu' ? images(samples.count) : 0),
      },
      [`a smaller ${setting}.batch`, ...(folded ? ['adapter.fold false'] : []), 'a smaller image'],
    ),
    phase(
      'rolling out',
      {
        ...held,
        conditioning: held.conditioning * (guided ? 2 : 1),
        'weights with the adapter folded in': rolls ? folded : 0,
        activations: Math.max(
          model.evaluate(Math.max(rolloutRows(algorithm, batch), Math.min(part, batch))),
          keptSteps,
        ),
      },
      [
        ...lowered('algorithm.rolloutBatch', algorithm.rolloutBatch ?? 0),
        ...(rolls && folded ? ['adapter.fold false'] : []),
        ...microBatched,
        ...smaller,
      ],
    ),
    phase(
      scoringPhase,
      {
        ...held,
        'last steps, kept for the gradient': keptSteps,
        ...scoring(config, model, denoiserBranches(algorithm)),
      },
      [...sliced, ...smaller],
    ),
    phase(
      'training',
      {
        ...held,
        gradients: 4 * model.trainable,
        'matched latents and conditioning': latents(matched) * solverStates + conditioning(matched, guidedLoss === 2),
        activations: Math.max(
          model.train(matched) * (differentiated || guidedLoss),
          algorithm.name === 'am' ? model.vjp(matched) : 0,
        ),
      },
      [...(config.checkpointing ? [] : ['checkpointing']), ...microBatched, ...smaller],
    ),
  ];
}

/**
 * What scoring takes: of a slice its images, their gradient, and the graphs from its latents to them; of all images, if
 * anything reads them at once, them and their gradient.
 * @param denoisers evaluations of the pretrained network a sample that the gradient flows through
 */
function scoring({ algorithm, batch, rewards }: FinetuneSettings, model: ModelFootprint, denoisers: number) {
  const { decodeSlice, microBatch } = algorithm;
  const images = (count: number) => 4 * model.image * count;
  const all = batch * imagesPerSample(algorithm);
  const slice = decodeSlice ? Math.min(decodeSlice, all) : all;
  const { sliced, whole } = rewardParts(rewards);
  if (!sliced && !whole) {
    const part = Math.min(decodeSlice || microBatch || all, all);
    return { images: images(all), activations: model.decode(part) };
  }
  const readsAll = slice < all && rewards.some((reward) => !isSliced(reward));
  return {
    images: 2 * images(slice) + (readsAll ? 2 * images(all) : 0),
    'decoder, kept for the gradient': model.decodeGradient(slice),
    'denoiser, kept for the gradient': model.vjp(slice) * denoisers,
  };
}

/** The most images that a run draws at a time, the setting that says so, and whether any of its drawings is guided. */
function drawnAtOnce({ samples, panel, evaluation }: FinetuneSettings, batch: number) {
  const sets = { samples, ...(evaluation && { evaluation }), ...(panel.every !== 0 && { panel }) };
  const [setting, count] = Object.entries(sets)
    .map(([name, set]) => [name, Math.min(set.count, set.batch ?? batch)] as const)
    .reduce((most, set) => (set[1] > most[1] ? set : most));
  return { setting, count, isGuided: Object.values(sets).some(({ guidance }) => guidance !== 1) };
}

/** A number of samples at once, of which 0 stands for all. */
const lowered = (setting: string, count = 0): string[] =>
  count === 1 ? [] : [count === 0 ? setting : `a smaller ${setting}`];

/** What every phase takes less with. */
function lighterWeights({ dtype, rewards, optimizer }: FinetuneSettings): string[] {
  const isWide = (type: ModelDType | undefined) => type === 'float32' || type === 'float64';
  return [
    ...(isWide(dtype) ? ['dtype bfloat16'] : []),
    ...(rewards.some((reward) => isWide(dtypeOf(reward))) ? ['dtype bfloat16 of the rewards'] : []),
    ...(optimizer.emaDecay > 0 ? ['optimizer.emaDecay 0'] : []),
  ];
}
