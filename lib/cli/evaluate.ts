import { join } from 'node:path';

import { evaluationSchema, readFinetuneConfig } from '../jobs/config/finetune.js';
import { loadConfiguredModel, withDrawing } from '../jobs/config/model.js';
import { readJson } from '../schema/json.js';
import { ConfigError } from '../errors.js';
import { evaluate, evaluationTable } from '../training/evaluation.js';
import { observe, silent } from '../jobs/progress.js';
import { createJudge, createRewards } from '../rewards/registry.js';
import { RunDirectory } from '../jobs/run-directory.js';
import { runScoreImages, runScoreSamples, type ScoreFlags } from './score.js';

type EvaluateFlags = ScoreFlags & { count?: number };

/** One of three: a run's adapter against the pretrained model, a folder of images, or a model's samples. */
export async function runEvaluate(path: string | undefined, flags: EvaluateFlags, signal: AbortSignal): Promise<void> {
  const model = flags.model ?? flags.adapter;
  const given = Object.entries({ 'a run': path, '--images': flags.images, '--model or --adapter': model }).filter(
    ([, value]) => value !== undefined,
  );
  if (given.length !== 1) {
    throw new ConfigError(
      `evaluate: expected one of a run's directory, --images, and --model or --adapter; got ${given.map(([name]) => name).join(' and ') || 'none'}`,
    );
  }
  if (path === undefined)
    refuseMisplaced(
      flags,
      flags.images === undefined ? ['count'] : ['count', ...ofModel],
      flags.images === undefined ? 'a model' : 'a folder of images',
    );
  if (flags.images !== undefined) return runScoreImages(flags.images, flags, signal);
  return path === undefined ? runScoreSamples(flags, signal) : evaluateRun(path, flags, signal);
}

/** What only samples that are drawn depend on. */
const ofModel = [
  'samples',
  'negative',
  'width',
  'height',
  'textLength',
  'seed',
  'steps',
  'solver',
  'guidance',
  'dtype',
] as const;

/** A setting that nothing reads would be believed to have been used. */
function refuseMisplaced(flags: EvaluateFlags, names: readonly (keyof EvaluateFlags)[], mode: string): void {
  const wrong = names.filter((name) =>
    Array.isArray(flags[name]) ? flags[name].length > 0 : flags[name] !== undefined,
  );
  if (wrong.length === 0) return;
  const options = wrong.map((name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
  throw new ConfigError(`evaluate: ${options.join(', ')}: not for ${mode}`);
}

async function evaluateRun(path: string, flags: EvaluateFlags, signal: AbortSignal): Promise<void> {
  refuseMisplaced(
    flags,
    [
      'prompts',
      'reward',
      'out',
      'batch',
      'asReference',
      ...ofModel.filter((name) => name !== 'seed' && name !== 'steps'),
    ],
    'a run, which is evaluated on its own prompts and rewards with its own settings',
  );
  const configPath = join(path, 'config.json');
  const config = await readFinetuneConfig(await readJson(configPath), configPath);
  const device = flags.device ?? config.device;
  const observer = flags.quiet ? silent : observe();
  const reward = await createRewards(config.rewards, device, { onNote: (message) => observer.note(message) });
  const { checkpoint } = await RunDirectory.withCheckpoint(path, (error) =>
    observer.note(`passed over: ${error.message}`),
  );
  using model = await loadConfiguredModel(config, { device });
  await model.loadAdapter(checkpoint.directory);
  const { count, seed, steps, ...settings } =
    config.evaluation ?? withDrawing(evaluationSchema.parse({}), model.sampling);
  const total = flags.count ?? count;
  observer.begin(2 * total, 0, 'image');
  try {
    const evaluation = await evaluate(model, {
      reward,
      judge: settings.judge && createJudge(settings.judge, device),
      prompts: config.prompts,
      negativePrompt: config.negativePrompt,
      count: total,
      seed: BigInt(flags.seed ?? seed),
      steps: flags.steps ?? steps,
      solver: settings.solver,
      guidance: settings.guidance,
      batch: settings.batch,
      signal,
      onProgress: (done, _total, forwards) => observer.advance(done, {}, forwards),
    });
    observer.end();
    process.stdout.write(`${flags.json ? JSON.stringify(evaluation, null, 2) : evaluationTable(evaluation)}\n`);
  } finally {
    observer.end();
  }
}
