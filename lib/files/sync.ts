import { open, writeFile, type FileHandle } from 'node:fs/promises';

/** What says that data did not reach the disk. Others say that a file system has nothing to sync there. */
const failed = new Set(['EIO', 'ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS']);

/** Waits until a file is on its disk, or a folder's names are, where the file system can tell. */
export async function sync(path: string): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    // A folder that may be written to and not read; and Windows opens none.
    if (['EACCES', 'EPERM', 'EISDIR'].includes((error as NodeJS.ErrnoException).code!)) return;
    throw error;
  }
  try {
    await file.sync();
  } catch (error) {
    if (failed.has((error as NodeJS.ErrnoException).code!)) throw error;
  } finally {
    await file.close();
  }
}

/** Writes a file and waits until it is on its disk. */
export async function writeSynced(path: string, data: string | Uint8Array): Promise<void> {
  await writeFile(path, data);
  await sync(path);
}
