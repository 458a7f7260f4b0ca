import type { Model } from '../../models/model.js';
import type { SolverName } from '../../runtime/ode-solver.js';
import { sampleBatches } from '../../training/sampler.js';
import { promptProgress } from '../progress.js';
import type { ScoreBook } from './score-book.js';
import type { SampleScores } from './summary.js';

/** Options of {@link scoreSamples}. */
export interface ScoreSamplesOptions {
  prompts: readonly string[];
  /** Images a prompt; image s of prompt p starts from the noise of sample p · samples + s of `seed`. */
  samples: number;
  seed: bigint;
  steps: number;
  solver: SolverName;
  guidance: number;
  negativePrompt: string | undefined;
  batch: number;
  onNote?: ((message: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Each prompt as often as it is drawn. */
export const repeated = ({ prompts, samples }: Pick<ScoreSamplesOptions, 'prompts' | 'samples'>): string[] =>
  prompts.flatMap((prompt) => Array.from({ length: samples }, () => prompt));

/** Draws and scores `samples` images a prompt. */
export async function* scoreSamples(
  book: ScoreBook,
  model: Model,
  options: ScoreSamplesOptions,
): AsyncGenerator<SampleScores[]> {
  const { samples, ...sampling } = options;
  let done = 0;
  for await (const { images, prompts } of sampleBatches(model, {
    ...sampling,
    prompts: repeated(options),
    onPrepare: promptProgress(options.onNote ?? (() => {})),
  })) {
    try {
      yield await book.add(
        images,
        prompts.map((prompt, index) => ({ prompt, sample: (done + index) % samples })),
        options.signal,
      );
    } finally {
      images.dispose();
    }
    done += prompts.length;
  }
}
