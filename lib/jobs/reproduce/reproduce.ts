import { join, resolve } from 'node:path';

import { z } from 'zod';

import { CheckpointError, ConfigError } from '../../errors.js';
import { replaceFile } from '../../files/checkpoints.js';
import { checkOutput } from '../../files/output-path.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { callback, checkOptions, checkText } from '../../schema/options.js';
import { expected } from '../../schema/validate.js';
import { evaluateCheckpoints } from '../evaluate/table/table.js';
import { checkJobOptions, type JobOptions } from '../options.js';
import { refuseFull } from '../plan/disk.js';
import { silent } from '../progress.js';
import { rowsOf } from './figures.js';
import { needsText, reproductionPage, rowsText, settingsText } from './format.js';
import { needsOf, type Needs } from './needs.js';
import { readRecipe, type Recipe } from './recipe.js';
import type { Reproduction } from './reproduction.js';
import { progressOf, runFolder, trainSeed } from './seed-run.js';
import { allDeviations, prepared, type WorkOptions } from './work.js';

/** These are the options of {@link reproduce}. */
export interface ReproduceOptions extends WorkOptions, Pick<JobOptions, 'signal' | 'observer'> {
  /** The folder of the runs and of the results; the default is `runs/reproduce`. */
  output?: string | undefined;
  /** It says whether no more is done than to say what is needed; nothing is fetched or written. */
  dryRun?: boolean | undefined;
  /** It says whether hours of work are begun without asking. */
  yes?: boolean | undefined;
  /** Asks whether to begin; left out, `yes` has to be said. */
  confirm?: ((question: string) => Promise<boolean>) | undefined;
  /** It is told what is needed, before anything is asked or begun. */
  onNeeds?: ((text: string, needs: Needs) => void) | undefined;
}

const optionsShape = {
  model: z.string().min(1),
  rewards: z.string().min(1),
  prompts: z.string().min(1),
  trainPrompts: z.string().min(1),
  seeds: z.int().min(1).max(100),
  output: z.string().min(1),
  set: z.array(z.string()),
  dryRun: z.boolean(),
  yes: z.boolean(),
  confirm: callback,
  onNeeds: callback,
};

/**
 * Makes a published protocol: fine-tunes with several seeds, evaluates, and puts the figures beside the published ones.
 * What is finished in the output's folder is not computed again.
 * @param name of a recipe, such as `hpdv2`
 * @returns undefined after a dry run
 * @throws ConfigError for an unknown recipe, settings that are not valid, or work that nobody agreed to;
 *   CheckpointError where files are missing, or the output holds runs with other settings; what `finetune` and
 *   `evaluateCheckpoints` throw
 */
export async function reproduce(name: string, options: ReproduceOptions = {}): Promise<Reproduction | undefined> {
  checkText(name, 'name', 'reproduce');
  const { signal, observer = silent, ...own } = options;
  checkJobOptions({ signal, observer: options.observer }, 'reproduce options');
  checkOptions(optionsShape, own, 'reproduce options');
  const { output = join('runs', 'reproduce'), onNeeds = () => {} } = own;
  const recipe = await readRecipe(name);
  await checkOutput(output, 'directory');
  const found = await prepared(recipe, own, output, undefined);
  const needs = await needsOf({ recipe, ...found, config: found.configs[0]!, seeds: found.seeds.length });
  onNeeds(`${needsText(recipe, needs, found.seeds.length)}\n\n${settingsText(recipe, found.held)}`, needs);
  refuseMissing(needs);
  refuseFull(needs.disk);
  const isWhole = [found.prompts.training, found.prompts.evaluation].every(({ prompts }) => prompts);
  // Without the prompts nobody knows of a run whether it is one of these.
  const progress = isWhole ? await Promise.all(found.configs.map(progressOf)) : [];
  if (own.dryRun) return undefined;
  if (!isWhole || progress.some((each) => each !== 'finished')) await ask(found.seeds.length, own);
  const fetching = { signal, report: (line: string) => observer.note(line) };
  const work = isWhole ? found : await prepared(recipe, own, output, fetching);
  for (const config of work.configs) await trainSeed(config, { signal, observer });
  const directory = join(output, name);
  makeDirectory(directory);
  const prompts = join(directory, 'prompts.jsonl');
  await replaceFile(
    prompts,
    work.prompts.evaluation.prompts!.map((prompt) => `${JSON.stringify({ prompt })}\n`).join(''),
  );
  const runs = work.seeds.map((seed) => ({ seed, folder: runFolder(output, seed) }));
  const { steps, solver, guidance, seed, batch } = work.evaluation;
  const table = await evaluateCheckpoints(
    runs.map(({ folder }) => folder),
    {
      ...{ prompts, count: work.count, steps, solver, guidance, batch, signal, observer },
      seeds: [seed],
      rewards: work.rewards.map(({ config }) => JSON.stringify(config)),
      output: join(directory, 'evaluation'),
    },
  );
  const reproduction: Reproduction = {
    recipe: name,
    title: recipe.title,
    published: recipe.published.source,
    rewards: work.rewards.map(({ name: reward, title }) => ({ name: reward, title })),
    rows: await rowsOf({ recipe, rewards: work.rewards, method: work.method }, table, runs),
    deviations: allDeviations(recipe, work, needs),
    seeds: work.seeds,
    evaluation: work.evaluation,
    table,
    directory: resolve(directory),
  };
  await writeAll(reproduction, recipe);
  return reproduction;
}

function refuseMissing({ files }: Needs): void {
  const missing = files.filter(({ state }) => state === 'missing');
  if (missing.length === 0) return;
  const lines = missing.map(({ what, problem = '', command = '' }) =>
    problem.includes('eam fetch') ? `${what}: ${problem}` : `${what}: ${problem}; to get it: ${command}`,
  );
  throw new CheckpointError(['the recipe lacks files:', ...lines].join('\n  '));
}

async function ask(seeds: number, { yes = false, confirm }: ReproduceOptions): Promise<void> {
  if (yes) return;
  if (!confirm) throw new ConfigError(expected('reproduce', '--yes where nobody can be asked', 'none'));
  if (!(await confirm(`Begin ${seeds === 1 ? 'the training' : `${seeds} trainings`}, and evaluate?`)))
    throw new ConfigError('it was not wanted, and nothing was begun');
}

async function writeAll(reproduction: Reproduction, recipe: Recipe): Promise<void> {
  const { directory } = reproduction;
  const files = {
    'table.md': reproductionPage(reproduction, recipe),
    'table.csv': rowsText(reproduction, 'csv'),
    'table.tex': rowsText(reproduction, 'latex'),
    'result.json': JSON.stringify(reproduction, null, 2),
  };
  for (const [file, text] of Object.entries(files)) await replaceFile(join(directory, file), `${text}\n`);
}
