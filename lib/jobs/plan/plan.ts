import { z } from 'zod';

import { checkOptions } from '../../schema/options.js';
import { expected } from '../../schema/validate.js';
import type { FinetuneConfig } from '../settings/config.generated.js';
import { splitModel } from '../settings/made-model.js';
import { readFinetuneConfig, type FinetuneSettings } from '../settings/finetune.js';
import { CheckpointError, ConfigError, NativeLoadError } from '../../errors.js';
import { modelFootprint, publishedModel, publishedModels, unguidedOf } from '../../models/registry.js';
import type { ModelPart } from '../../models/model-kind.js';
import { textEmbeddingsDirectory } from '../../models/text-embeddings.js';
import { dtypeOf, locateJudge, locateReward, publishedParameters, type RewardConfig } from '../../rewards/registry.js';
import { chooseDevice } from '../../runtime/device.js';
import { endpointsDirectory } from '../../training/endpoints.js';
import { freeMemory } from './free-memory.js';
import { guidancesOf, refuseGuidance } from '../guidance.js';
import { costsOf, passesOf, type EvaluationRange } from './evaluations.js';
import {
  elementBytes,
  type ComponentFootprint,
  type FootprintOptions,
  type ModelFootprint,
} from '../../models/footprint.js';
import { cardTimes, type CardTime } from './cards.js';
import { diskUse, type DiskUse } from './disk.js';
import { drawingOperations, operationsOf, type IterationOperations } from './operations.js';
import { chooseRollout } from './choose-rollout.js';
import { withDecodeSlice } from './decode-slice.js';
import { phasesOf, type Phase } from './phases.js';
import type { RolloutPlan } from './rollout.js';
import { loadedBytes } from './reward-weights.js';

/** How many bytes a network's weights take. */
export type PlannedComponent = ComponentFootprint & {
  /** How many numbers there are, times the size of one. */
  bytes: number;
};

/** What a fine-tuning takes. */
export interface Plan {
  /** The device that is configured: `'cpu'`, `'cuda'` or `'cuda:N'`. */
  device: string;
  /** How many samples a step takes. */
  batch: number;
  /** How many network evaluations an iteration takes. */
  evaluations: EvaluationRange;
  /** Endpoints of the pretrained model that are drawn before the first step, where the algorithm takes such. */
  endpoints?:
    | {
        /** How many, of all prompts. */
        count: number;
        /** Velocities that drawing them takes. */
        forwards: number;
        /** Vector–Jacobian products that their rewards' gradients take. */
        vjps: number;
      }
    | undefined;
  /** How the rollout is computed; undefined where memory is not planned. */
  rollout?: RolloutPlan | undefined;
  /**
   * How many images are decoded and scored at a time, 0 for the whole batch: the configuration's number, or the plan's
   * choice; undefined where memory is not planned.
   */
  decodeSlice?: number | undefined;
  /** What is in memory; undefined for a small model, and one of one's own, whose memory is not planned. */
  memory?: MemoryPlan | undefined;
  /** The files of a model of one's own, of which no more is known. */
  parts?: readonly ModelPart[] | undefined;
  /** What is written; empty where memory is not planned. */
  disk: DiskUse[];
  /** How long it takes on known GPUs, where it is planned for one; in the order of a card's age and class. */
  cards: CardTime[];
}

/** Options of {@link plan}. */
export interface PlanOptions {
  /**
   * The name of a published model, such as `'sd3.5-medium'`, whose shapes stand in for those of the configuration's
   * directory.
   */
  like?: string | undefined;
  /** The bytes that a GPU has free, where the plan is for another than this machine's. */
  memory?: number | undefined;
}

/** In bytes, on top of what the process and its libraries take. */
export interface MemoryPlan {
  /** What stays in memory: the network that is trained, then what makes images of its latents. */
  networks: PlannedComponent[];
  /** What reads prompts, in memory only while they are encoded. */
  encoders: PlannedComponent[];
  /** What is to be encoded. */
  prompts: {
    /** How many distinct prompts there are; the negative one is among them. */
    count: number;
    /** How many of them have no embedding in the cache yet. */
    missing: number;
  };
  /** What the rewards' weights take. */
  rewards: {
    /** It is called this in the configuration. */
    name: string;
    /** Its weights take this as they are loaded: 0 where it has none, left out where nobody knows them. */
    bytes?: number | undefined;
  }[];
  /** How many numbers the adapter has. */
  trainable: number;
  /** The phases in the order of a run; encoding prompts is not among them where none is missing. */
  phases: Phase[];
  /** The phase that takes most. */
  peak: Phase;
  /** How many floating-point operations an iteration takes; products and convolutions alone are counted. */
  operations: IterationOperations;
}

/**
 * Plans a fine-tuning from its configuration, those of the model's directory and the headers of the weights.
 * @throws ConfigError for a configuration that is not valid, CheckpointError where weights that the run would load are
 * missing or cut short
 */
export async function plan(config: FinetuneConfig, options: PlanOptions = {}): Promise<Plan> {
  checkOptions({ like: z.string(), memory: z.number().min(0) }, options, 'plan options');
  const { like } = options;
  const known = like === undefined ? undefined : publishedModel(like);
  const source = 'finetune configuration';
  const { model, config: described } = splitModel(config, source);
  refuseOtherJob(described, source);
  const wanted = await readFinetuneConfig(described, source, known?.drawing ?? model?.sampling).catch(
    (error: unknown) => {
      if (error instanceof CheckpointError && !known) error.message += `; ${withoutFiles}`;
      throw error;
    },
  );
  // Where a published model is not there yet, neither is the machine that it is planned for.
  const device = known && wanted.device === 'auto' ? 'cuda' : plannedDevice(wanted.device);
  const { memory: given } = options;
  const free = given ?? (await freeMemory(device));
  return (await planFor({ ...wanted, device }, { likeKnown: known?.footprint, free })).planned;
}

/** What is said where a model is not there. */
const withoutFiles = `--like NAME plans for a published model without its files, of ${publishedModels.join(', ')}`;

/** The configuration of another job would be told of each key that it lacks. @throws ConfigError for one */
function refuseOtherJob(config: unknown, source: string): void {
  if (typeof config !== 'object' || config === null) return;
  if (('rewards' in config || 'algorithm' in config) && !('contenders' in config)) return;
  const keys = Object.keys(config).join(', ') || 'none';
  throw new ConfigError(
    expected(
      source,
      'one of eam finetune, with rewards and an algorithm',
      `one with the keys ${keys}; eam plan takes no other, so name that of a fine-tuning`,
    ),
  );
}

/** A plan needs no native core: where none can be loaded, 'auto' cannot mean CUDA. */
function plannedDevice(wanted: string): string {
  try {
    return chooseDevice(wanted).device;
  } catch (error) {
    if (error instanceof NativeLoadError) return 'cpu';
    throw error;
  }
}

/** The plan, and the settings with what they leave out and a GPU's free memory decides. */
export async function planFor(
  config: FinetuneSettings,
  known: { likeKnown?: ((options: FootprintOptions) => ModelFootprint) | undefined; free?: number | undefined } = {},
): Promise<{ planned: Plan; settings: FinetuneSettings }> {
  const { likeKnown, free } = known;
  const { model, device, dtype, adapter, image, batch } = config;
  if (!likeKnown) refuseGuidance(await unguidedOf(model), [...guidancesOf(config), config.algorithm.guidance]);
  const { checkpointing = false, textLength, decoder, textEncoders, prompts, negativePrompt } = config;
  const loading = { device, dtype, adapter, size: image, checkpointing, textLength, decoder, textEncoders };
  const options = { ...loading, prompts, negativePrompt };
  const footprint = likeKnown ? likeKnown({ ...options, adapter: adapter! }) : await modelFootprint(model, options);
  const scoring = [...config.rewards, ...config.panel.judges, ...(config.evaluation?.rewards ?? [])];
  const rewards = await Promise.all(
    scoring.map(async (reward) => {
      const bytes = await rewardBytes(reward, likeKnown !== undefined);
      return { name: reward.name, ...(bytes !== undefined && { bytes }) };
    }),
  );
  if (config.evaluation?.judge) await loadedBytes(locateJudge(config.evaluation.judge));
  if (!footprint || isParts(footprint)) {
    const parts = footprint && { parts: footprint };
    return { planned: { device, batch, ...costsOf(config), ...parts, disk: [], cards: [] }, settings: config };
  }
  const rewardsBytes = rewards.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
  const room = device === 'cpu' ? undefined : free;
  const { settings: rolled, rollout } = chooseRollout(config, footprint, rewardsBytes, room, (bytes) =>
    neededFor(device, bytes),
  );
  // Scoring may take as much as the rollout does, which is chosen by then.
  const settings = withDecodeSlice(rolled, footprint, rewardsBytes);
  const { algorithm } = settings;
  const phases = phasesOf(settings, footprint, rewardsBytes);
  const costs = costsOf(settings);
  const passes = passesOf(settings);
  const sized = (component: ComponentFootprint) => ({
    ...component,
    bytes: component.parameters * elementBytes[component.dtype],
  });
  const memory = {
    networks: footprint.networks.map(sized),
    encoders: footprint.encoders.map(sized),
    prompts: footprint.prompts,
    rewards,
    trainable: footprint.trainable,
    phases,
    peak: phases.reduce((most, phase) => (phase.bytes > most.bytes ? phase : most)),
    operations: operationsOf(algorithm, batch, footprint.operations, passes),
  };
  const disk = diskUse({
    prompts: { missing: footprint.prompts.missing, bytes: footprint.conditioning, folder: textEmbeddingsDirectory() },
    // Endpoint, velocity and the reward's gradient, if it has one: float32, as many numbers as a latent each.
    endpoints: {
      count: costs.endpoints?.count ?? 0,
      bytes: 4 * (passes.gradients ? 3 : 2) * footprint.latent,
      folder: endpointsDirectory(),
    },
    checkpoints: {
      trainable: footprint.trainable,
      averaged: config.optimizer.emaDecay > 0,
      keep: config.checkpoints.keep,
      folder: config.output,
    },
  });
  const { decodeSlice } = algorithm;
  const planned = { device, batch, ...costs, rollout, decodeSlice, memory, disk, cards: [] };
  if (device === 'cpu') return { planned, settings };
  const drawing = drawingOperations(config, footprint.operations);
  const { hasMeasuredRates = false } = footprint;
  const { operations: iteration } = memory;
  const run = { dtype, decoder: footprint.decoder, iteration, steps: config.steps, drawing, hasMeasuredRates };
  return { planned: { ...planned, cards: cardTimes(run, needed(planned)) }, settings };
}

const isParts = (found: ModelFootprint | readonly ModelPart[]): found is readonly ModelPart[] => Array.isArray(found);

/** Undefined where nobody knows. @param published whether a published size will do where the files are not there */
async function rewardBytes(reward: RewardConfig, published: boolean): Promise<number | undefined> {
  try {
    const files = await locateReward(reward);
    return files && (await loadedBytes(files));
  } catch (error) {
    if (published && error instanceof CheckpointError) {
      const parameters = publishedParameters(reward);
      return parameters === undefined ? undefined : parameters * elementBytes[dtypeOf(reward) ?? 'float32'];
    }
    throw error;
  }
}

/** What CUDA's libraries and the allocator's rounding take beside the tensors. */
const cudaOverhead = { bytes: 2 ** 29, fraction: 0.05 };

/** Bytes that a device must have free for tensors of so many. */
const neededFor = (device: string, bytes: number): number =>
  device === 'cpu' ? bytes : bytes * (1 + cudaOverhead.fraction) + cudaOverhead.bytes;

/** Bytes that the device must have free. */
export const needed = ({ device, memory }: Pick<Plan, 'device' | 'memory'>): number =>
  memory ? neededFor(device, memory.peak.bytes) : 0;
