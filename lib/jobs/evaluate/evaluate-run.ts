import { chooseDevice } from '../../runtime/device.js';
import { combine } from '../../rewards/combine.js';
import { createJudge, createRewardList } from '../../rewards/registry.js';
import { rewardIdentity } from '../../rewards/identity.js';
import { modelIdentity, refuseOthers, type Belonging } from '../../training/belonging.js';
import { belongsToOf, fingerprint } from '../../training/state.js';
import { evaluate, type Evaluation } from '../../training/evaluation.js';
import { promptProgress, type JobObserver } from '../progress.js';
import { RunDirectory } from '../run-directory.js';
import { evaluationSchema } from '../settings/evaluation.js';
import { loadConfiguredModel, withDrawing } from '../settings/model.js';
import { readRunConfig } from '../evaluated/run-config.js';

/** What may differ from the run's own settings. */
export interface EvaluateRunOptions {
  device?: string | undefined;
  count?: number | undefined;
  seed?: number | undefined;
  steps?: number | undefined;
  /** What may be another than the run had; default: nothing. */
  allow?: readonly Belonging[] | undefined;
  observer: JobObserver;
  signal: AbortSignal;
}

/**
 * Compares a run's adapter with the pretrained model, on the run's own prompts and rewards.
 * @param path the directory of a finetune run
 * @throws CheckpointError where it has no whole checkpoint, ConfigError for a run without rewards
 */
export async function evaluateRun(
  path: string,
  { observer, signal, allow, ...changes }: EvaluateRunOptions,
): Promise<Evaluation> {
  const config = await readRunConfig(path);
  const { device } = chooseDevice(changes.device ?? config.device);
  const note = { onNote: (message: string) => observer.note(message) };
  const trained = await createRewardList(config.rewards, device, note);
  const watched = await createRewardList(config.evaluation?.rewards ?? [], device, note);
  const reward = combine(trained);
  const { checkpoint } = await RunDirectory.withCheckpoint(path, (error) =>
    observer.note(`passed over: ${error.message}`),
  );
  using model = await loadConfiguredModel(config, { device });
  const now = { model: await modelIdentity(model), rewards: fingerprint(await rewardIdentity(reward)) };
  refuseOthers(checkpoint.directory, await belongsToOf(checkpoint.directory), now, allow);
  await model.loadAdapter(checkpoint.directory);
  const settings = config.evaluation ?? withDrawing(evaluationSchema.parse({}), model.sampling);
  const { count = settings.count, seed = settings.seed, steps = settings.steps } = changes;
  const onNote = (line: string) => observer.note(line);
  await model.prepare(config.prompts, {
    negativePrompt: config.negativePrompt,
    onNote,
    onProgress: promptProgress(onNote),
    signal,
  });
  observer.begin(2 * count, 0, 'image');
  try {
    return await evaluate(model, {
      reward: watched.length ? combine([...trained, ...watched.map(([each]) => [each, 0] as const)]) : reward,
      judge: settings.judge && createJudge(settings.judge, device),
      prompts: config.prompts,
      negativePrompt: config.negativePrompt,
      count,
      seed: BigInt(seed),
      steps,
      solver: settings.solver,
      guidance: settings.guidance,
      batch: settings.batch,
      signal,
      onProgress: (done, _total, forwards) => observer.advance(done, {}, forwards),
    });
  } finally {
    observer.end();
  }
}
