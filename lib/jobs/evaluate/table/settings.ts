import { isDeepStrictEqual } from 'node:util';

import { ConfigError } from '../../../errors.js';
import type { Drawing } from '../../../models/model.js';
import { drawingOf } from '../../../models/registry.js';
import { parseReward, type JudgeConfig, type RewardConfig } from '../../../rewards/registry.js';
import type { SolverName } from '../../../runtime/ode-solver.js';
import { readPrompts } from '../../../schema/prompts.js';
import { expected } from '../../../schema/validate.js';
import { evaluationSchema } from '../../settings/evaluation.js';
import type { FinetuneSettings } from '../../settings/finetune.js';
import { withDrawing } from '../../settings/model.js';
import type { FoundCheckpoint } from '../../evaluated/found-checkpoint.js';
import { readRunConfig } from '../../evaluated/run-config.js';

/** These settings say how checkpoints are evaluated; what is left out is as the first run's configuration has it. */
export interface TableSettings {
  /** How many images each model draws from each seed; with `prompts` the default is one a prompt. */
  count?: number | undefined;
  /** The noise is drawn from these seeds, each of which draws `count` images; the default is the evaluation's. */
  seeds?: readonly number[] | undefined;
  /** The path of a file of prompts. */
  prompts?: string | undefined;
  /** The negative prompt, which guidance leads away from. */
  negative?: string | undefined;
  /** Each as `eam evaluate --reward` names it; each is scored by itself, whatever its weight. */
  rewards?: readonly string[] | undefined;
  /** The solver takes this many steps. */
  steps?: number | undefined;
  /** This solver draws. */
  solver?: SolverName | undefined;
  /** The weight of classifier-free guidance, from 0; 1 stands for none. */
  guidance?: number | undefined;
  /** A network evaluation takes at most this many samples. */
  batch?: number | undefined;
  /** Everything is computed on this device: 'cpu', 'cuda', 'cuda:N' or 'auto'. */
  device?: string | undefined;
}

/** The settings that all checkpoints of a table share. */
export interface SharedSettings extends Drawing {
  prompts: readonly string[];
  negativePrompt: string | undefined;
  rewards: readonly RewardConfig[];
  /** Whether the weighted sum of the rewards means something: where a run was trained towards it. */
  isSum: boolean;
  judge: JudgeConfig | undefined;
  count: number;
  seeds: readonly number[];
  batch: number | undefined;
}

/** A run whose checkpoints are evaluated. */
export interface TableRun {
  config: FinetuneSettings;
  checkpoints: FoundCheckpoint[];
}

/** Reads the configuration of each run, in the order of their first checkpoints. @throws ConfigError for one of them */
export async function readRuns(found: readonly FoundCheckpoint[]): Promise<[TableRun, ...TableRun[]]> {
  const runs = new Map<string, TableRun>();
  for (const checkpoint of found) {
    const run = runs.get(checkpoint.run) ?? { config: await readRunConfig(checkpoint.run), checkpoints: [] };
    run.checkpoints.push(checkpoint);
    runs.set(checkpoint.run, run);
  }
  return [...runs.values()] as [TableRun, ...TableRun[]];
}

/**
 * Settings that hold for the checkpoints of all runs.
 * @throws ConfigError where runs differ in what is not given, since their figures could not be compared
 */
export async function sharedSettings(
  runs: readonly [TableRun, ...TableRun[]],
  given: TableSettings,
): Promise<SharedSettings> {
  const [{ config }] = runs;
  refuseDifferent(runs, given);
  const own = await drawingOf(config.model);
  const evaluation = config.evaluation ?? withDrawing(evaluationSchema.parse({}), own);
  const prompts = given.prompts === undefined ? config.prompts : readPrompts(given.prompts);
  const count = given.prompts === undefined ? evaluation.count : prompts.length;
  const { steps, solver, guidance, batch, seed } = evaluation;
  return {
    prompts,
    negativePrompt: given.negative ?? config.negativePrompt,
    rewards: given.rewards?.length ? given.rewards.map(parseReward) : config.rewards,
    isSum: !given.rewards?.length,
    judge: evaluation.judge,
    count: given.count ?? count,
    seeds: given.seeds ?? [seed],
    steps: given.steps ?? steps,
    solver: given.solver ?? solver,
    guidance: given.guidance ?? guidance,
    batch: given.batch ?? batch,
  };
}

/** The settings that all runs must have alike, each with the flag that sets it for all of them where there is one. */
const alike = [
  { key: 'prompts', flag: 'prompts' },
  { key: 'negativePrompt', flag: 'negative' },
  { key: 'rewards', flag: 'rewards' },
  { key: 'dtype' },
  { key: 'image' },
  { key: 'textLength' },
] as const satisfies readonly { key: keyof FinetuneSettings; flag?: keyof TableSettings }[];

function refuseDifferent(runs: readonly [TableRun, ...TableRun[]], given: TableSettings): void {
  const [first, ...others] = runs;
  for (const { config, checkpoints } of others) {
    for (const each of alike) {
      const flag = 'flag' in each ? each.flag : undefined;
      const isGiven = flag !== undefined && given[flag] !== undefined && given[flag].length > 0;
      if (isGiven || isDeepStrictEqual(config[each.key], first.config[each.key])) continue;
      const remedy = flag ? `; say with --${flag === 'rewards' ? 'reward' : flag} what holds for all` : '';
      throw new ConfigError(
        expected(checkpoints[0]!.run, `the ${each.key} of ${first.checkpoints[0]!.run}`, `others${remedy}`),
      );
    }
  }
}
