import { readFinetuneConfig, type FinetuneConfig } from '../config/finetune.js';
import { OutOfMemoryError } from '../../errors.js';
import { modelFootprint } from '../../models/footprints.js';
import { locateJudge, locateReward } from '../../rewards/weights.js';
import { deviceMemory, type DeviceMemory } from './device-memory.js';
import { evaluationsOf, type EvaluationRange } from './evaluations.js';
import { elementBytes, type ComponentFootprint } from '../../models/footprint.js';
import { operationsOf, type IterationOperations } from './operations.js';
import { phasesOf, type Phase } from './phases.js';
import { loadedBytes } from './reward-weights.js';
import { bytesText } from './table.js';

/** Bytes of a network's weights. */
export type PlannedComponent = ComponentFootprint & {
  /** Numbers times the size of one. */
  bytes: number;
};

/** What a fine-tuning takes. */
export interface Plan {
  /** `'cpu'`, `'cuda'` or `'cuda:N'`, as configured. */
  device: string;
  /** Samples a step. */
  batch: number;
  /** Network evaluations of an iteration. */
  evaluations: EvaluationRange;
  /** Undefined for a model that is not planned for, being small. */
  memory?: MemoryPlan | undefined;
}

/** In bytes, on top of what the process and its libraries take. */
export interface MemoryPlan {
  /** What stays in memory: the network that is trained, then what makes images of its latents. */
  networks: PlannedComponent[];
  /** What reads prompts, in memory only while they are encoded. */
  encoders: PlannedComponent[];
  /** What is to be encoded. */
  prompts: {
    /** Distinct prompts, the negative one among them. */
    count: number;
    /** Those of them whose embeddings are not in the cache yet. */
    missing: number;
  };
  /** The rewards' weights. */
  rewards: {
    /** As the configuration names it. */
    name: string;
    /** As they are loaded; 0 for one without weights, left out where nobody knows them. */
    bytes?: number | undefined;
  }[];
  /** How many numbers the adapter has. */
  trainable: number;
  /** In the order of a run; encoding prompts is not among them where none is missing. */
  phases: Phase[];
  /** The phase that takes most. */
  peak: Phase;
  /** Floating-point operations of an iteration, products and convolutions alone. */
  operations: IterationOperations;
}

/**
 * Plans a fine-tuning from its configuration, those of the model's directory and the headers of the weights.
 * @throws ConfigError for a configuration that is not valid, CheckpointError where weights that the run would load are missing or
 *   cut short
 */
export async function plan(config: unknown): Promise<Plan> {
  return planFor(await readFinetuneConfig(config, 'finetune configuration'));
}

async function planFor(config: FinetuneConfig): Promise<Plan> {
  const {
    model,
    device,
    dtype,
    adapter,
    image,
    textLength,
    checkpointing = false,
    batch,
    algorithm,
    prompts,
    negativePrompt,
  } = config;
  const evaluations = evaluationsOf(algorithm, batch);
  const footprint = await modelFootprint(model, {
    device,
    dtype,
    adapter,
    size: image,
    checkpointing,
    textLength,
    prompts,
    negativePrompt,
  });
  const rewards = await Promise.all(
    config.rewards.map(async (reward) => {
      const files = await locateReward(reward);
      return { name: reward.name, ...(files && { bytes: await loadedBytes(files) }) };
    }),
  );
  if (config.evaluation?.judge) await loadedBytes(locateJudge(config.evaluation.judge));
  if (!footprint) return { device, batch, evaluations };
  const phases = phasesOf(
    config,
    footprint,
    rewards.reduce((sum, { bytes = 0 }) => sum + bytes, 0),
  );
  const sized = (component: ComponentFootprint) => ({
    ...component,
    bytes: component.parameters * elementBytes[component.dtype],
  });
  return {
    device,
    batch,
    evaluations,
    memory: {
      networks: footprint.networks.map(sized),
      encoders: footprint.encoders.map(sized),
      prompts: footprint.prompts,
      rewards,
      trainable: footprint.trainable,
      phases,
      peak: phases.reduce((most, phase) => (phase.bytes > most.bytes ? phase : most)),
      operations: operationsOf(algorithm, batch, footprint.operations),
    },
  };
}

/** What CUDA's libraries and the allocator's rounding take beside the tensors. */
const cudaOverhead = { bytes: 2 ** 29, fraction: 0.05 };

/** Bytes that the device must have free. */
export function needed({ device, memory }: Plan): number {
  if (!memory) return 0;
  return device === 'cpu' ? memory.peak.bytes : memory.peak.bytes * (1 + cudaOverhead.fraction) + cudaOverhead.bytes;
}

/**
 * Refuses a device that is too small for a plan.
 * @throws OutOfMemoryError with the numbers
 */
export function refuseSmall(planned: Plan, { free, total }: DeviceMemory): void {
  const bytes = needed(planned);
  if (!planned.memory || bytes <= free) return;
  const { name, less } = planned.memory.peak;
  throw new OutOfMemoryError(
    `${planned.device} is too small: the plan needs ${bytesText(bytes)}, most of it while ${name}, and ${bytesText(free)} of ` +
      `${bytesText(total)} are free. Less is needed there with ${less.join('; ')}. \`eam plan\` shows what each phase takes`,
  );
}

/**
 * Refuses a job, before it loads or writes anything, whose weights are not there, or whose GPU is too small; a CPU that is too
 * small only `eam plan` refuses: its memory can be swapped.
 * @throws CheckpointError, ConfigError, OutOfMemoryError
 */
export async function checkFinetune(config: FinetuneConfig): Promise<void> {
  const planned = await planFor(config);
  if (config.device !== 'cpu') refuseSmall(planned, await deviceMemory(config.device));
}
