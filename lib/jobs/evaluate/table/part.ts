import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { replaceFile } from '../../../files/checkpoints.js';
import type { SampleRewards } from '../../../training/measured-model.js';
import { fingerprint } from '../../../training/state.js';
import { columnsOf, rewardColumns, rewardsOf } from '../../evaluated/sample-file.js';
import { slugOf } from '../../text.js';

const partSchema = z.strictObject({
  format: z.literal(1),
  of: z.string(),
  accuracy: z.number().optional(),
  diversity: z.number().optional(),
  samples: rewardColumns,
  /** The files of its images, in the folder that they were kept in. */
  images: z.strictObject({ folder: z.string(), files: z.array(z.string()) }).optional(),
});

/** The figures of one model's samples from one seed. */
export interface Part {
  samples: SampleRewards;
  accuracy?: number | undefined;
  diversity?: number | undefined;
  images?: { folder: string; files: string[] } | undefined;
}

/**
 * The file of a part. All that the figures depend on goes into its name, so that another evaluation has another file.
 */
export class PartFile {
  readonly #of: string;
  readonly #path: string;

  /**
   * @param folder that holds parts
   * @param label tells people which part it is
   * @param of all that the part's figures depend on; JSON
   */
  constructor(folder: string, label: string, of: object) {
    this.#of = fingerprint(of);
    this.#path = join(folder, `${slugOf(label)}-${this.#of.slice(0, 12)}.json`);
  }

  /**
   * Reads the part, where it is finished.
   * @param images the folder that its images are to be in
   * @param onNote told of a file that holds something else, whose part is computed again
   */
  async read(images: string | undefined, onNote: (line: string) => void): Promise<Part | undefined> {
    const text = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    let part: z.output<typeof partSchema>;
    try {
      part = partSchema.parse(JSON.parse(text));
      if (part.of !== this.#of) throw new Error('it is of another evaluation');
    } catch (error) {
      onNote(`${this.#path} is no part of this evaluation (${(error as Error).message}): it is computed again`);
      return undefined;
    }
    if (images !== undefined && !hasImages(part, images)) return undefined;
    return { ...part, samples: rewardsOf(part.samples) };
  }

  /** Writes the part, which is finished from then on. */
  async write({ samples, accuracy, diversity, images }: Part): Promise<void> {
    // JSON has no NaN, which a judge's features of broken images give.
    const known = { accuracy, ...(Number.isFinite(diversity) && { diversity }), images };
    const json = { format: 1, of: this.#of, ...known, samples: columnsOf(samples) };
    await replaceFile(this.#path, `${JSON.stringify(json)}\n`);
  }
}

const hasImages = ({ images }: z.output<typeof partSchema>, folder: string): boolean =>
  images?.folder === folder && images.files.every((file) => existsSync(join(folder, file)));
