import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { encodeEach } from '../../../files/png/write.js';
import { makeDirectory } from '../../../runtime/make-directory.js';
import type { MeasuredBatch } from '../../../training/evaluation.js';
import { slugOf } from '../../text.js';

/** Writes one model's images of one seed, a PNG each, named by the sample's number and its prompt. */
export class ImageWriter {
  readonly #files: string[] = [];
  readonly #digits: number;

  /**
   * @param root the folder of all images
   * @param place of these, within it
   * @param count of images to come
   */
  constructor(
    private readonly root: string,
    private readonly place: string,
    count: number,
  ) {
    this.#digits = String(count - 1).length;
  }

  /** The folder, and the files in it that were written. An image that is not finite has none. */
  get images(): { folder: string; files: string[] } {
    return { folder: this.root, files: this.#files };
  }

  async write({ first, prompts, images }: MeasuredBatch): Promise<void> {
    makeDirectory(join(this.root, this.place));
    for (const [at, png] of (await encodeEach(images)).entries()) {
      if (!png) continue;
      const number = String(first + at).padStart(this.#digits, '0');
      const name = [number, slugOf(prompts[at]!)].filter(Boolean).join('-');
      const file = join(this.place, `${name}.png`);
      await writeFile(join(this.root, file), png);
      this.#files.push(file);
    }
  }
}
