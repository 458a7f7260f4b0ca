import { dirname, extname, join } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { replaceFile } from '../../files/checkpoints.js';
import { checkOutput } from '../../files/output-path.js';
import { shrink } from '../../files/png/shrink.js';
import { bytesOfEach, encodeImage } from '../../files/png/write.js';
import type { Model } from '../../models/model.js';
import { chooseDevice } from '../../runtime/device.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { checkOptions, checkText } from '../../schema/options.js';
import { expected } from '../../schema/validate.js';
import { modelIdentity, refuseOthers } from '../../training/belonging.js';
import { pairedBatches } from '../../training/paired-batches.js';
import { cyclePrompts } from '../../training/sampler.js';
import { belongsToOf } from '../../training/state.js';
import { checkpointAt } from '../evaluated/found-checkpoint.js';
import { KeptPairs, type KeptPair } from '../evaluated/kept-pairs.js';
import { Ranking } from '../evaluated/ranking.js';
import { readRunConfig } from '../evaluated/run-config.js';
import { checkJobOptions, type JobOptions } from '../options.js';
import { promptProgress, silent } from '../progress.js';
import { evaluationSchema } from '../settings/evaluation.js';
import { loadConfiguredModel, withDrawing } from '../settings/model.js';
import { heatMap, imageChange, scaleOf, type DiffMeasure, type ImageChange } from './change.js';
import { renderDiff, type ShownPair } from './page.js';
import type { Diff, PromptChange, SampleChange } from './result.js';
import { sheetOf } from './sheet.js';

/** These are the options of {@link diff}. */
export interface DiffOptions extends Pick<JobOptions, 'signal' | 'observer' | 'allow'> {
  /** How many pairs are drawn, going through the run's prompts in turn; the default is 64. */
  count?: number | undefined;
  /** How many of them are shown, those that changed most; the default is 24. Memory grows with this number alone. */
  show?: number | undefined;
  /** The heat maps show the signed change of luminance, which is the default, or the distance of the colours. */
  measure?: DiffMeasure | undefined;
  /** The change at which the colours of the maps are full, above 0; the default leaves one pixel in a hundred above. */
  scale?: number | undefined;
  /** The noise is drawn from this seed; the default is that of the run's evaluation. */
  seed?: number | undefined;
  /** The solver takes this many steps; the default is that of the run's evaluation. */
  steps?: number | undefined;
  /** 'cpu', 'cuda', 'cuda:N' or 'auto'; the default is the run's. */
  device?: string | undefined;
  /** The page, a path that ends in .html; the picture lies beside it. The default is diff.html in the run's folder. */
  out?: string | undefined;
}

const optionsShape = {
  count: z.int().min(1),
  show: z.int().min(1),
  measure: z.enum(['luminance', 'color']),
  scale: z.number().gt(0).max(1),
  seed: z.int().min(0),
  steps: z.int().min(1),
  device: z.string().min(1),
  out: z.string().min(1),
};

/** Pictures in the page and the PNG are at most so many pixels wide and high. */
const pictureLimit = 256;

/**
 * Shows where fine-tuning changed pictures: draws pairs of images of the pretrained and the fine-tuned model from the
 * same noise, and writes those that changed most, with heat maps of their differences, into a page and a PNG.
 * @param path the directory of a finetune run, or of a checkpoint in one
 * @throws ConfigError for options out of range; CheckpointError where there is no whole checkpoint, or it is of another
 *   model
 */
export async function diff(path: string, options: DiffOptions = {}): Promise<Diff> {
  const { signal, observer = silent, allow, ...settings } = options;
  checkText(path, 'run', 'diff');
  checkJobOptions({ signal, observer: options.observer, allow }, 'diff options');
  checkOptions(optionsShape, settings, 'diff options');
  const onNote = (line: string) => observer.note(line);
  const { run, ...checkpoint } = await checkpointAt(path, onNote);
  const { out = join(run, 'diff.html'), measure = 'luminance', show = 24, count = 64 } = settings;
  if (extname(out).toLowerCase() !== '.html') throw new ConfigError(expected('out', 'a path that ends in .html', out));
  await checkOutput(out, 'file');
  const config = await readRunConfig(run);
  const { device } = chooseDevice(settings.device ?? config.device);
  using model = await loadConfiguredModel(config, { device });
  refuseOthers(
    checkpoint.directory,
    await belongsToOf(checkpoint.directory),
    { model: await modelIdentity(model) },
    allow,
  );
  await model.loadAdapter(checkpoint.directory);
  const evaluation = config.evaluation ?? withDrawing(evaluationSchema.parse({}), model.sampling);
  const { seed = evaluation.seed, steps = evaluation.steps } = settings;
  const { solver, guidance, batch } = evaluation;
  const { negativePrompt } = config;
  const prompts = cyclePrompts(config.prompts, count);
  await model.prepare(prompts, { negativePrompt, onNote, onProgress: promptProgress(onNote), signal });
  const drawing = { prompts, negativePrompt, seed: BigInt(seed), steps, solver, guidance, batch, signal };
  observer.begin(2 * count, 0, 'image');
  let drawn: Awaited<ReturnType<typeof drawPairs>>;
  try {
    drawn = await drawPairs(model, drawing, show, (done, forwards) => observer.advance(done, {}, forwards));
  } finally {
    observer.end();
  }
  const { samples, kept } = drawn;
  if (samples.length === 0) throw new ConfigError(expected('diff', 'images that are finite', 'none'));
  const whole = kept.flatMap(({ before, after }) => (before && after ? [{ before, after }] : []));
  const scale = settings.scale ?? scaleOf(whole, measure);
  const shown = kept.flatMap(({ before, after }, at): ShownPair[] => {
    if (!before || !after) return [];
    const map = heatMap(before, after, measure, scale);
    const [small, smallAfter, smallMap] = [before, after, map].map((image) => shrink(image, pictureLimit));
    return [{ sample: samples[at]!, pictures: [small!, smallAfter!, smallMap!] }];
  });
  const found = {
    ...{ step: checkpoint.step, count, seed: String(seed), measure, scale },
    ...{ notFinite: count - samples.length, samples, prompts: byPrompt(samples) },
  };
  const picture = `${out.slice(0, -'.html'.length)}.png`;
  makeDirectory(dirname(out));
  await replaceFile(picture, encodeImage(sheetOf(shown.map(({ pictures }) => pictures))));
  await replaceFile(out, await renderDiff(run, found, shown, settings.scale !== undefined));
  return { page: out, picture, ...found };
}

/** Draws pairs and compares them. @returns all of them, and the images of the first `show`, most changed first */
async function drawPairs(
  model: Model,
  drawing: Parameters<typeof pairedBatches>[1],
  show: number,
  onProgress: (done: number, forwards: number) => void,
): Promise<{ samples: SampleChange[]; kept: KeptPair[] }> {
  const samples: SampleChange[] = [];
  const ranking = new Ranking(show);
  const pairs = new KeptPairs();
  for await (const batch of pairedBatches(model, drawing)) {
    using before = batch.before;
    using after = batch.after;
    const [old, now] = [await bytesOfEach(before), await bytesOfEach(after)];
    for (const [at, prompt] of batch.prompts.entries()) {
      const [one, other] = [old[at], now[at]];
      if (!one || !other) continue;
      const sample = batch.first + at;
      const change = imageChange(one, other);
      samples.push({ sample, prompt, ...change });
      ranking.offer(sample, change.change);
    }
    await pairs.update({ ...batch, before, after }, [ranking]);
    onProgress(2 * (batch.first + batch.prompts.length), batch.forwards.before + batch.forwards.after);
  }
  // Among equal changes the earlier sample leads, as in the ranking.
  samples.sort((one, other) => other.change - one.change || one.sample - other.sample);
  return { samples, kept: ranking.samples.map((sample) => pairs.pairs.get(sample)!) };
}

function byPrompt(samples: readonly SampleChange[]): PromptChange[] {
  const groups = new Map<string, SampleChange[]>();
  for (const sample of samples) {
    const group = groups.get(sample.prompt) ?? [];
    group.push(sample);
    groups.set(sample.prompt, group);
  }
  const mean = (group: readonly SampleChange[], key: keyof ImageChange) =>
    group.reduce((sum, sample) => sum + sample[key], 0) / group.length;
  return Array.from(groups, ([prompt, group]) => ({
    prompt,
    images: group.length,
    change: mean(group, 'change'),
    luminance: mean(group, 'luminance'),
    changed: mean(group, 'changed'),
  })).sort((one, other) => other.change - one.change);
}
