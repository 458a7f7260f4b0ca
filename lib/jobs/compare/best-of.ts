import { measureBest, openModel, type Bench } from './bench.js';
import { belongingsOf } from './finished.js';
import { measuresOf, type RunResult } from './results.js';
import { settingsOf, type BestOfPlan } from './run-plan.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { RunDirectory } from '../run-directory.js';

/**
 * Measures the best of several images of the pretrained model, and writes the result into `directory`. Its curve is one
 * point, at no cost of training.
 * @throws the signal's reason when aborted: nothing is kept
 */
export async function makeBestOf(bench: Bench, plan: BestOfPlan, directory: string): Promise<RunResult> {
  makeDirectory(directory);
  using model = await openModel(bench, plan.seed);
  const { bestOf } = plan.contender;
  const tracking = await measureBest(bench, model, 'tracking', { bestOf, seed: plan.seed });
  const final = await measureBest(bench, model, 'evaluation', { bestOf, seed: plan.seed });
  const cost = { step: 0, forwards: 0, vjps: 0, backwards: 0, evaluations: 0, seconds: 0 };
  const result: RunResult = {
    contender: plan.contender.name,
    seed: plan.seed,
    settings: settingsOf(bench.config, plan),
    belongsTo: belongingsOf(bench, plan.contender),
    points: [{ ...cost, ...measuresOf(tracking), drift: 0 }],
    final,
  };
  await RunDirectory.existing(directory).write('result.json', `${JSON.stringify(result, null, 2)}\n`);
  return result;
}
