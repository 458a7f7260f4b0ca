import { EamError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import type { Pair } from './pairs.js';
import { ImageFileError, readPng, type Picture } from '../../files/png/read.js';
import type { ScoreBook } from './score-book.js';
import type { SampleScores } from './summary.js';

/** Options of {@link scoreImages}. */
export interface ScoreImagesOptions {
  device: string;
  /** Images that are scored at a time, where they are of one size. */
  batch: number;
  /** Whether the files' numbers are cut to bytes, as the reference scripts do. */
  bytes: boolean;
  signal?: AbortSignal | undefined;
}

/**
 * Scores image files in their order, a batch of one size at a time. Files that cannot be read are passed over, and the
 * book told.
 * @throws EamError that names the files which cannot be scored
 */
export async function* scoreImages(
  book: ScoreBook,
  pairs: readonly Pair[],
  options: ScoreImagesOptions,
): AsyncGenerator<SampleScores[]> {
  let batch: { pair: Pair; picture: Picture }[] = [];
  for (const pair of pairs) {
    options.signal?.throwIfAborted();
    let picture: Picture;
    try {
      picture = await readPng(pair.path, { bytes: options.bytes });
    } catch (error) {
      if (!(error instanceof ImageFileError)) throw error;
      book.skip(pair.file, error.problem);
      continue;
    }
    const first = batch[0]?.picture;
    if (first && (batch.length === options.batch || picture.width !== first.width || picture.height !== first.height)) {
      yield await scoreBatch(book, batch, options);
      batch = [];
    }
    batch.push({ pair, picture });
  }
  if (batch.length) yield await scoreBatch(book, batch, options);
}

async function scoreBatch(
  book: ScoreBook,
  batch: readonly { pair: Pair; picture: Picture }[],
  { device, signal }: ScoreImagesOptions,
): Promise<SampleScores[]> {
  const { width, height, data } = batch[0]!.picture;
  const numbers = new Float32Array(batch.length * data.length);
  for (const [index, { picture }] of batch.entries()) numbers.set(picture.data, index * data.length);
  using images = binding().Tensor.from(numbers, [batch.length, 3, height, width], { device });
  try {
    return await book.add(
      images,
      batch.map(({ pair: { file, prompt } }) => ({ file, prompt })),
      signal,
    );
  } catch (error) {
    if (!(error instanceof EamError) || error === signal?.reason) throw error;
    const files = batch.map(({ pair }) => pair.path);
    throw new EamError(
      error.code,
      `${files.length > 3 ? [...files.slice(0, 3), '…'].join(', ') : files.join(', ')}: ${error.message}`,
      { cause: error },
    );
  }
}
