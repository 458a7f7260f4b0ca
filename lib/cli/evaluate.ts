import { join } from 'node:path';

import { evaluationSchema, finetuneSchema } from '../config/finetune.js';
import { loadConfiguredModel } from '../config/model.js';
import { readJson } from '../config/read.js';
import { validate } from '../config/validate.js';
import { evaluate, evaluationTable } from '../evaluation.js';
import { observe, silent } from '../progress.js';
import { createJudge, createRewards } from '../rewards/registry.js';
import { RunDirectory } from '../run-directory.js';

interface EvaluateFlags {
  count?: number;
  seed?: number;
  steps?: number;
  device?: string;
  json?: boolean;
  quiet?: boolean;
}

export async function runEvaluate(path: string, flags: EvaluateFlags, signal: AbortSignal): Promise<void> {
  const configPath = join(path, 'config.json');
  const config = validate(finetuneSchema, await readJson(configPath), configPath);
  const device = flags.device ?? config.device;
  const { count, seed, steps, ...settings } = config.evaluation ?? evaluationSchema.parse({});
  const reward = await createRewards(config.rewards, device);
  const observer = flags.quiet ? silent : observe();
  const { checkpoint } = await RunDirectory.withCheckpoint(path, (error) => observer.note(`passed over: ${error.message}`));
  using model = await loadConfiguredModel(config, { device });
  await model.loadAdapter(checkpoint.directory);
  const total = flags.count ?? count;
  observer.begin(2 * total, 0);
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
