import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';

import { ConfigError } from '../errors.js';
import { readPromptFile } from './prompt-file.js';

/** An image's file and what it was drawn for. */
export interface Pair {
  /** As it is called in the folder. */
  file: string;
  path: string;
  prompt: string;
}

/**
 * The PNGs of a folder with their prompts: those that the file of prompts names, or all of them in the order of their
 * names, the first with the first prompt.
 * @throws ConfigError if there are none, or not as many as prompts
 */
export async function pairImages(folder: string, promptFile: string): Promise<Pair[]> {
  let names: string[];
  try {
    names = (await readdir(folder)).filter((name) => extname(name).toLowerCase() === '.png').sort();
  } catch (error) {
    throw new ConfigError(`cannot read ${folder}: ${(error as Error).message}`, { cause: error });
  }
  if (names.length === 0) throw new ConfigError(`${folder} has no .png files`);
  const lines = readPromptFile(promptFile);
  const named = lines.filter(({ file }) => file !== undefined).length;
  if (named > 0 && named < lines.length) throw new ConfigError(`${promptFile}: only ${named} of its ${lines.length} lines have a "file"`);
  if (named === 0 && names.length !== lines.length) {
    throw new ConfigError(
      `${folder} has ${names.length} .png files and ${promptFile} ${lines.length} prompts; expected as many, ` +
        'or lines of {"file": "….png", "prompt": "…"}',
    );
  }
  return lines.map(({ file = '', prompt }, index) => {
    const name = named ? file : names[index]!;
    if (named && !names.includes(name)) throw new ConfigError(`${promptFile} names ${JSON.stringify(name)}, which is no .png file in ${folder}`);
    return { file: name, path: join(folder, name), prompt };
  });
}
