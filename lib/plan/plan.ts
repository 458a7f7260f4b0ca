import { readFinetuneConfig, type FinetuneConfig } from '../config/finetune.js';
import { OutOfMemoryError } from '../errors.js';
import { modelFootprint } from '../models/footprints.js';
import { deviceMemory, type DeviceMemory } from './device-memory.js';
import { evaluationsOf, type EvaluationRange } from './evaluations.js';
import { elementBytes, type ComponentFootprint } from './footprint.js';
import { operationsOf, type IterationOperations } from './operations.js';
import { phasesOf, type Phase } from './phases.js';
import { rewardWeights } from './reward-weights.js';
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
  /** The rewards' weights. */
  rewards: {
    /** As the configuration names it. */
    name: string;
    /** 0 for one without weights. */
    bytes: number;
  }[];
  /** How many numbers the adapter has. */
  trainable: number;
  /** In the order of a run. */
  phases: Phase[];
  /** The phase that takes most. */
  peak: Phase;
  /** Floating-point operations of an iteration, products and convolutions alone. */
  operations: IterationOperations;
}

/** Plans a fine-tuning from its configuration and those of the model's directory. @throws ConfigError for one that is not valid */
export async function plan(config: unknown): Promise<Plan> {
  return planFor(await readFinetuneConfig(config, 'finetune configuration'));
}

async function planFor(config: FinetuneConfig): Promise<Plan> {
  const { model, device, dtype, adapter, image, textLength, checkpointing = false, batch, algorithm } = config;
  const evaluations = evaluationsOf(algorithm, batch);
  const footprint = await modelFootprint(model, { dtype, adapter, size: image, checkpointing, textLength });
  if (!footprint) return { device, batch, evaluations };
  const rewards = await Promise.all(config.rewards.map(async (reward) => ({ name: reward.name, bytes: await rewardWeights(reward) })));
  const phases = phasesOf(config, footprint, rewards.reduce((sum, { bytes }) => sum + bytes, 0));
  const sized = (component: ComponentFootprint) => ({ ...component, bytes: component.parameters * elementBytes[component.dtype] });
  return {
    device, batch, evaluations,
    memory: {
      networks: footprint.networks.map(sized),
      encoders: footprint.encoders.map(sized),
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
  throw new OutOfMemoryError(
    `${planned.device} is too small: the plan needs ${bytesText(bytes)}, most of it while ${planned.memory.peak.name}, and ${bytesText(free)} of ` +
      `${bytesText(total)} are free. Less is needed with checkpointing, algorithm.microBatch, algorithm.decodeSlice, a smaller batch, image or ` +
      'samples.batch, or dtype bfloat16; `eam plan` shows what each takes',
  );
}

/** The same check for a job that is about to load its model; of a CPU only `eam plan` makes it, where memory can be swapped. */
export async function refuseSmallDevice(config: FinetuneConfig): Promise<void> {
  if (config.device !== 'cpu') refuseSmall(await planFor(config), await deviceMemory(config.device));
}
