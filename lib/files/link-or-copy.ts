import { copyFile, link, realpath } from 'node:fs/promises';

/** Makes a file another name of one that is there, or a copy of it where the file system has no hard links. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  // A downloaded model's files may be links into a cache.
  const file = await realpath(from);
  await link(file, to).catch(() => copyFile(file, to));
}
