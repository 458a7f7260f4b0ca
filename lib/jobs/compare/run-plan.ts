import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { ConfigError } from '../../errors.js';
import type { Budget, CompareConfig, Contender } from './config.js';
import type { RunResult } from './results.js';

/** One run to be made. */
export interface RunPlan {
  contender: Contender;
  seed: number;
  learningRate: number;
  budget: Budget;
  /** Measurements on the way, the last one after the last step. */
  points: number;
  /** Whether to evaluate at the end, and to keep the adapter and a grid of samples. */
  whole: boolean;
}

/** Everything that decides a run, with defaults filled in. */
export function settingsOf(
  config: CompareConfig,
  { contender, seed, learningRate, budget, points, whole }: RunPlan,
): RunResult['settings'] {
  const {
    model,
    device,
    dtype,
    adapter,
    image,
    checkpointing,
    textLength,
    negativePrompt,
    prompts,
    rewards,
    tracking,
    evaluation,
  } = config;
  const { points: _, ...trackingSet } = tracking;
  const settings = {
    model,
    device,
    dtype,
    adapter,
    image,
    checkpointing,
    textLength,
    negativePrompt,
    prompts,
    rewards,
    seed,
    budget,
    points,
    algorithm: contender.algorithm,
    optimizer: { ...(contender.optimizer ?? config.optimizer), learningRate },
    batch: contender.batch ?? config.batch,
    tracking: { ...trackingSet, judge: evaluation.judge },
    ...(whole && { evaluation }),
  };
  return JSON.parse(JSON.stringify(settings)) as RunResult['settings'];
}

/**
 * The result of a run that was finished earlier in `directory`, if there is one.
 * @throws ConfigError if it was made with other settings
 */
export async function finishedRun(
  config: CompareConfig,
  plan: RunPlan,
  directory: string,
): Promise<RunResult | undefined> {
  const path = join(directory, 'result.json');
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  let result: RunResult;
  try {
    result = JSON.parse(text) as RunResult;
  } catch (error) {
    throw new ConfigError(`${path} is not valid JSON; remove ${directory} to run it again`, { cause: error });
  }
  const settings = settingsOf(config, plan);
  const changed = Object.keys({ ...settings, ...result.settings }).filter(
    (key) => !isDeepStrictEqual(settings[key], result.settings?.[key]),
  );
  if (changed.length) {
    throw new ConfigError(
      `${path} is of a run with other settings (${changed.join(', ')}); remove ${directory} to run it again, or ` +
        'take another --output',
    );
  }
  return result;
}
