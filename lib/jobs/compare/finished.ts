import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { ConfigError } from '../../errors.js';
import { originOf } from '../../files/origin.js';
import type { Model } from '../../models/model.js';
import { rewardIdentity } from '../../rewards/identity.js';
import { createAlgorithm } from '../../training/algorithms.js';
import { modelIdentity, refuseOthers, type BelongsTo } from '../../training/belonging.js';
import { fingerprint } from '../../training/state.js';
import type { Bench } from './bench.js';
import { isTrained, type Contender } from './config.js';
import type { RunResult } from './results.js';
import { bestOfPlan, finalPlan, settingsOf, sweepPlan, type BestOfPlan, type RunPlan } from './run-plan.js';

/** What all runs of a comparison belong to: its rewards' fingerprint is of its judge, too. */
export async function commonBelongings(
  { config, reward, judge }: Pick<Bench, 'config' | 'reward' | 'judge'>,
  model: Model,
): Promise<BelongsTo> {
  const judged = judge && (await originOf(judge));
  return {
    model: await modelIdentity(model),
    rewards: fingerprint([await rewardIdentity(reward), (await judged?.identity()) ?? null]),
    data: fingerprint(config.prompts),
  };
}

/** What a contender's runs belong to. */
export function belongingsOf({ belongsTo }: Bench, contender: Contender): BelongsTo {
  // What the best of several images is taken by are the rewards, and nothing else.
  if (!isTrained(contender)) return belongsTo;
  const { name, options } = createAlgorithm(contender.algorithm);
  return { ...belongsTo, algorithm: fingerprint([name, options]) };
}

/**
 * The result of a run that was finished earlier, if there is one.
 * @param plan of which the learning rate may be left out: it is then what it was
 * @param directory the comparison's
 * @throws ConfigError if it was made with other settings, CheckpointError if with another model, say, that is not
 *   allowed
 */
export async function finishedRun(
  bench: Bench,
  plan: (Omit<RunPlan, 'learningRate'> & Partial<Pick<RunPlan, 'learningRate'>>) | BestOfPlan,
  directory: string,
): Promise<RunResult | undefined> {
  const folder = join(directory, plan.folder);
  const path = join(folder, 'result.json');
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  let result: RunResult;
  try {
    result = JSON.parse(text) as RunResult;
  } catch (error) {
    throw new ConfigError(`${path} is not valid JSON; remove ${folder} to run it again`, { cause: error });
  }
  const settings = settingsOf(bench.config, 'budget' in plan ? { learningRate: result.learningRate!, ...plan } : plan);
  const changed = Object.keys({ ...settings, ...result.settings }).filter(
    (key) => !isDeepStrictEqual(settings[key], result.settings?.[key]),
  );
  if (changed.length) {
    throw new ConfigError(
      `${path} is of a run with other settings (${changed.join(', ')}); remove ${folder} to run it again, or ` +
        'take another --output',
    );
  }
  refuseOthers(path, result.belongsTo ?? {}, belongingsOf(bench, plan.contender), bench.allow);
  return result;
}

/**
 * Refuses a directory of which a run cannot be taken over, before anything is computed or written.
 * @throws ConfigError, CheckpointError as {@link finishedRun} does
 */
export async function refuseOtherRuns(bench: Bench, directory: string): Promise<void> {
  const { config } = bench;
  for (const contender of config.contenders) {
    if (!isTrained(contender)) {
      for (const seed of config.seeds) await finishedRun(bench, bestOfPlan(contender, seed), directory);
      continue;
    }
    const { learningRate } = contender;
    if (learningRate === undefined)
      for (const rate of config.sweep!.learningRates)
        await finishedRun(bench, sweepPlan(config.sweep!, contender, rate), directory);
    for (const seed of config.seeds)
      await finishedRun(
        bench,
        { ...finalPlan(config, contender, seed), ...(learningRate && { learningRate }) },
        directory,
      );
  }
}
