import type { FinetuneConfig } from '../settings/config.generated.js';
import { isFinetuneRecord, readFinetuneConfig } from '../settings/finetune.js';
import { splitModel } from '../settings/made-model.js';
import { loadConfiguredModel } from '../settings/model.js';
import { startFrom } from './start.js';
import { checkOutput } from '../../files/output-path.js';
import { jobDevice } from '../device.js';
import { checkLogs } from '../logging/settings.js';
import { checkFinetune } from '../plan/check.js';
import { checkJobOptions, type JobOptions } from '../options.js';
import { refuseExisting } from '../existing-output.js';
import { guidancesOf } from '../guidance.js';
import { rehearse } from '../rehearsal.js';
import { RunDirectory } from '../run-directory.js';
import { conduct } from '../run-status.js';
import type { LiveRun } from '../serve/live-run.js';
import { serveSchema, withLivePage, type Served } from '../serve/with-live-page.js';
import { createAlgorithm } from '../../training/algorithms.js';
import { FinetuneJob, type FinetuneResult } from './job.js';
import { withRecordedChoices } from './recorded-choices.js';
import { createScorers } from './scorers.js';

/** These are the options of {@link finetune}. */
export interface FinetuneOptions extends JobOptions, Served {}

/**
 * Fine-tunes a model as a configuration says, and writes a run directory. A model that the configuration holds stays
 * the caller's, with its adapter trained; one that it names is loaded and disposed of.
 * @throws ConfigError for a configuration that is not valid; CheckpointError for weights that are missing or cut short,
 *   and OutOfMemoryError for a GPU that is too small, both before anything is loaded or written; the signal's reason
 *   when aborted (after a checkpoint)
 */
export async function finetune(config: FinetuneConfig, options: FinetuneOptions = {}): Promise<FinetuneResult> {
  checkJobOptions(options, 'finetune options', { serve: serveSchema });
  return withLivePage(options, (own, live) => finetuneWith(config, own, live));
}

async function finetuneWith(
  config: FinetuneConfig,
  options: JobOptions,
  live: LiveRun | undefined,
): Promise<FinetuneResult> {
  const onNote = (message: string) => options.observer?.note(message);
  const source = 'finetune configuration';
  const { model: made, config: described } = splitModel(config, source);
  const wanted = await readFinetuneConfig(described, source, made?.sampling);
  const { output } = wanted;
  await checkOutput(output, 'directory');
  const place = { resume: options.resume, output, record: 'config.json', onNote };
  const own = await withRecordedChoices({ ...wanted, device: await jobDevice(wanted.device, place) }, place);
  const settings = made ? own : await checkFinetune(own, { resumes: options.resume, onNote });
  await checkLogs(settings.logging);
  const { resume = false, existing, signal } = options;
  if (!resume && existing === 'refuse') await refuseExisting(output);
  const scorers = await createScorers(settings, onNote);
  using loaded = made ? undefined : await loadConfiguredModel(settings, { seed: BigInt(settings.seed) });
  const model = made ?? loaded!;
  const algorithm = createAlgorithm(settings.algorithm);
  const from = settings.adapter?.from;
  const start = async () => from !== undefined && startFrom(model, from, { allow: options.allow, onNote });
  if (!resume) {
    await start();
    const { prompts } = settings;
    const guidances = guidancesOf(settings);
    const { reward, judge, judges, watched } = scorers;
    const scoring = { reward, judge, watched: [...judges, ...watched] };
    await rehearse({ model, algorithms: [algorithm], prompts, ...scoring, guidances, signal });
  }
  const run = await RunDirectory.open(settings.output, {
    resume,
    existing,
    onNumbered: onNote,
    record: 'config.json',
    isRecord: isFinetuneRecord,
    onRejected: (error) => onNote(`passed over: ${error.message}`),
  });
  live?.follow({ directory: run.directory.path, reward: scorers.evaluated, device: settings.device });
  return await conduct(run.directory, signal, async () => {
    if (resume && !run.checkpoint) await start();
    return await new FinetuneJob(settings, run, { model, algorithm, scorers, live }, options).run();
  });
}
