import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';

import { ConfigError } from '../../errors.js';
import { otherImages } from '../../files/png.js';
import { readPromptFile } from './prompt-file.js';

/** An image's file and what it was drawn for. */
export interface Pair {
  /** As it is called in the folder. */
  file: string;
  path: string;
  prompt: string;
}

/** Numbers by their size: 2.png comes before 10.png, which is how images are numbered more often than not. */
const order = new Intl.Collator('en', { numeric: true });

/**
 * The PNGs of a folder with their prompts: those that the file of prompts names, or all of them in the order of their
 * names, numbers in them by their size, the first with the first prompt.
 * @throws ConfigError if there are none, or not as many as prompts
 */
export async function pairImages(folder: string, promptFile: string): Promise<Pair[]> {
  let files: string[];
  try {
    files = (await readdir(folder)).sort();
  } catch (error) {
    throw new ConfigError(`cannot read ${folder}: ${(error as Error).message}`, { cause: error });
  }
  const names = files.filter((name) => extname(name).toLowerCase() === '.png').sort(order.compare);
  if (names.length === 0) {
    const others = [...new Set(files.map((name) => extname(name).toLowerCase()))].filter((extension) =>
      otherImages.has(extension),
    );
    throw new ConfigError(
      `${folder} has no .png ` +
        `files${others.length ? `; it has ${others.join(' and ')}, which are not read: convert them` : ''}`,
    );
  }
  const lines = readPromptFile(promptFile);
  const named = lines.filter(({ file }) => file !== undefined).length;
  if (named > 0 && named < lines.length)
    throw new ConfigError(`${promptFile}: only ${named} of its ${lines.length} lines have a "file"`);
  if (named === 0 && names.length !== lines.length) {
    throw new ConfigError(
      `${folder} has ${names.length} .png files and ${promptFile} ${lines.length} prompts; expected as many, ` +
        'or lines of {"file": "….png", "prompt": "…"}',
    );
  }
  return lines.map(({ file = '', prompt }, index) => {
    const name = named ? file : names[index]!;
    if (named && !names.includes(name))
      throw new ConfigError(`${promptFile} names ${JSON.stringify(name)}, which is no .png file in ${folder}`);
    return { file: name, path: join(folder, name), prompt };
  });
}
