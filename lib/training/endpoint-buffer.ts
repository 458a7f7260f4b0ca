import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { RunLock } from '../files/lock.js';
import { disposeAll } from '../files/safetensors.js';
import type { ArrayScore } from '../rewards/reward.js';
import { makeDirectory } from '../runtime/make-directory.js';
import type { NativeEndpoints } from '../runtime/native/binding.js';
import { cancellable } from '../runtime/cancellation.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { Purpose, RandomStream, streamOf } from '../runtime/random.js';
import { drawEndpoints, type DrawingOptions, type DrawnEndpoints } from './endpoint-drawing.js';
import { EndpointFile, type EndpointLayout } from './endpoint-file.js';
import { EndpointScores, type EndpointCost } from './endpoint-scores.js';
import { EndpointWeights } from './endpoint-weights.js';
import type { BatchRequest, SampleSource, ScoredBatch } from './samples.js';

/** These options decide which endpoints are drawn, and how they are weighed. */
export interface EndpointBufferOptions extends DrawingOptions {
  lambda: number;
  /** The folder holds files of endpoints; undefined: this run's are in a file that is gone with it. */
  directory: string | undefined;
  /** The name of a folder tells endpoints from those that were made with something else. */
  identity: string;
}

/** The observer is told how drawing goes on, and may stop it. */
export interface DrawingObserver {
  onNote?: ((message: string) => void) | undefined;
  /** Told that `done` of `total` endpoints are there. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Another run may be drawing the same endpoints: whether it is done is looked at again after these milliseconds. */
const lookEvery = 500;

/**
 * Endpoints of the pretrained model are drawn and scored once, and each step takes some with probabilities in
 * proportion to e^{λr} (docs/beyond-the-paper.md, "Endpoints of the pretrained model").
 */
export class EndpointBuffer implements SampleSource {
  private constructor(
    private readonly options: EndpointBufferOptions,
    private readonly file: EndpointFile,
    /** Drawing and scoring took this much, in whichever run. */
    readonly cost: EndpointCost,
    private readonly scores: ArrayScore,
    private readonly weights: ReadonlyMap<string, { first: number; weights: EndpointWeights }>,
  ) {}

  /**
   * Opens the endpoints, and draws those that are not there.
   * @throws NonFiniteError for a prompt without a finite reward, CheckpointError for a file that cannot be written,
   *   what the reward throws, and the signal's reason
   */
  static async open(options: EndpointBufferOptions, observer: DrawingObserver = {}): Promise<EndpointBuffer> {
    const { directory, identity } = options;
    const folder = directory && join(directory, identity);
    const lock = folder === undefined ? undefined : await waitForLock(folder, observer);
    try {
      const scores = await EndpointScores.open(folder && join(folder, 'scores.jsonl'));
      const file = await EndpointFile.open(folder, layoutOf(options), identity, scores.rows);
      try {
        if (file.isEmpty) await scores.clear();
        return await EndpointBuffer.#fill(options, file, scores, observer);
      } catch (error) {
        await file.close();
        throw error;
      }
    } finally {
      lock?.release();
    }
  }

  static async #fill(
    options: EndpointBufferOptions,
    file: EndpointFile,
    scores: EndpointScores,
    observer: DrawingObserver,
  ): Promise<EndpointBuffer> {
    const { prompts, perPrompt, lambda } = options;
    const { rows } = layoutOf(options);
    if (!file.isWhole) {
      observer.onNote?.(`drawing ${rows} endpoints of the pretrained model`);
      for await (const batch of drawEndpoints(options, scores.rows, observer.signal)) {
        await store(options, batch, file, scores, observer.signal);
        observer.onProgress?.(scores.rows, rows);
      }
      await file.finish();
    }
    const joined = scores.joined();
    const weights = prompts.map((prompt, index) => {
      const first = index * perPrompt;
      const own = joined.values.subarray(first, first + perPrompt);
      return [prompt, { first, weights: new EndpointWeights(prompt, own, lambda) }] as const;
    });
    return new EndpointBuffer(options, file, scores.cost, joined, new Map(weights));
  }

  /** Gives the share of each prompt's endpoints that carries the weight, in (0, 1]. */
  effectiveShares(): Map<string, number> {
    return new Map(Array.from(this.weights, ([prompt, { weights }]) => [prompt, weights.effectiveShare]));
  }

  async draw({ prompts, conditions, step, clock }: BatchRequest): Promise<ScoredBatch> {
    const rows = this.#choose(prompts, step);
    const { model, algorithm, seed } = this.options;
    const shape = [rows.length, ...model.latentShape];
    const tensors: Record<string, Tensor> = {};
    try {
      for (const name of layoutOf(this.options).tensors) {
        tensors[name] = binding().Tensor.from(this.file.read(name, rows), shape, { device: model.device });
      }
      const { conditioning, unconditional } = conditions;
      const recalled = algorithm.recall({
        conditioning,
        ...(unconditional && { unconditional }),
        ...(tensors as unknown as NativeEndpoints),
        seed,
        step,
      });
      const samples = await clock.time('rollout', recalled);
      const shares = prompts.map((prompt) => this.weights.get(prompt)!.weights.effectiveShare);
      const effectiveShare = shares.reduce((sum, share) => sum + share, 0) / shares.length;
      return { samples, scored: selectScores(this.scores, rows), effectiveShare };
    } finally {
      disposeAll(tensors);
    }
  }

  /**
   * Chooses a row for each prompt. Those of the same prompt are stratified: each takes one of as many equal shares of
   * the weight.
   */
  #choose(prompts: readonly string[], step: number): number[] {
    const counts = new Map<string, number>();
    for (const prompt of prompts) counts.set(prompt, (counts.get(prompt) ?? 0) + 1);
    const taken = new Map<string, number>();
    return prompts.map((prompt, sample) => {
      const stratum = taken.get(prompt) ?? 0;
      taken.set(prompt, stratum + 1);
      const uniform = new RandomStream(this.options.seed, streamOf(step, sample, Purpose.endpoint)).uniform();
      const { first, weights } = this.weights.get(prompt)!;
      return first + weights.at((stratum + uniform) / counts.get(prompt)!);
    });
  }
}

const layoutOf = ({ model, gradient, prompts, perPrompt }: EndpointBufferOptions): EndpointLayout => ({
  rows: prompts.length * perPrompt,
  latent: model.latentShape,
  tensors: ['endpoint', 'velocity', ...(gradient ? ['rewardGradient'] : [])],
});

/** Writes the rows of a batch, and then their scores, which tell that the rows are there. */
async function store(
  { algorithm }: EndpointBufferOptions,
  { first, samples, scored, seconds }: DrawnEndpoints,
  file: EndpointFile,
  scores: EndpointScores,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { forwards, vjps, ...kept } = await cancellable(signal, (cancellation) =>
    algorithm.keep(samples, scored.grad, cancellation),
  );
  const tensors = kept as unknown as Record<string, Tensor>;
  try {
    const rows: Record<string, Float32Array> = {};
    for (const [name, tensor] of Object.entries(tensors)) rows[name] = (await tensor.data()) as Float32Array;
    await file.write(first, rows);
  } finally {
    disposeAll(tensors);
  }
  await scores.append(scored, { forwards, vjps, seconds });
}

function selectScores({ values, parts, weights }: ArrayScore, rows: readonly number[]): ArrayScore {
  const select = (of: Float32Array) => Float32Array.from(rows, (row) => of[row]!);
  return {
    values: select(values),
    ...(parts && { parts: Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, select(part)])) }),
    ...(weights && { weights }),
  };
}

async function waitForLock(folder: string, { onNote, signal }: DrawingObserver): Promise<RunLock> {
  makeDirectory(folder);
  for (let told = false; ; told = true) {
    signal?.throwIfAborted();
    const lock = RunLock.take(folder);
    if (lock) return lock;
    if (!told) onNote?.(`waiting for ${RunLock.holder(folder)}, which draws the same endpoints`);
    await sleep(lookEvery, undefined, { signal });
  }
}
