import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';

import { expected } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import { otherImages } from '../../files/image-formats.js';
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
  const files = await filesOf(folder);
  const names = files.filter((name) => extensionOf(name) === '.png').sort(order.compare);
  const others = [...new Set(files.map(extensionOf))].filter((extension) => otherImages.has(extension));
  const unread = others.length ? `; it has ${others.join(' and ')} files, which are not read: convert them to PNG` : '';
  if (names.length === 0) throw new ConfigError(expected(folder, '.png files', `none${unread}`));
  const lines = readPromptFile(promptFile);
  const named = lines.filter(({ file }) => file !== undefined).length;
  if (named > 0 && named < lines.length)
    throw new ConfigError(expected(promptFile, `a "file" in all of its ${lines.length} lines or in none`, named));
  if (named === 0 && names.length !== lines.length) {
    throw new ConfigError(
      expected(
        promptFile,
        `as many prompts as ${folder} has .png files, ${names.length}, or lines of {"file": "….png", "prompt": "…"}`,
        `${lines.length}${unread}`,
      ),
    );
  }
  return lines.map(({ file = '', prompt }, index) => {
    const name = named ? file : names[index]!;
    if (named && !names.includes(name))
      throw new ConfigError(expected(promptFile, `names of .png files in ${folder}`, JSON.stringify(name) + unread));
    return { file: name, path: join(folder, name), prompt };
  });
}

const extensionOf = (name: string): string => extname(name).toLowerCase();

/** A folder's files, without those that macOS writes beside them: ._a.png holds what its file system keeps of a.png. */
async function filesOf(folder: string): Promise<string[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    throw new ConfigError(`cannot read ${folder}: ${(error as Error).message}`, { cause: error });
  }
  const names: string[] = [];
  for (const entry of entries) {
    // A link that leads nowhere counts as a file: whoever reads it names it in the error.
    const isFolder = entry.isSymbolicLink()
      ? await stat(join(folder, entry.name)).then(
          (target) => target.isDirectory(),
          () => false,
        )
      : entry.isDirectory();
    if (!isFolder && !entry.name.startsWith('._')) names.push(entry.name);
  }
  return names.sort();
}
