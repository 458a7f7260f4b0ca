import { close, closeSync, fdatasync, fsync, ftruncate, mkdtempSync, open, read, readSync, write } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { CheckpointError } from '../errors.js';
import { buildHeader, readHeader } from '../files/safetensors.js';
import { sync } from '../files/sync.js';

/** A file of endpoints holds this. */
export interface EndpointLayout {
  rows: number;
  /** A row of each tensor is a latent. */
  latent: readonly number[];
  tensors: readonly string[];
}

const fileName = 'endpoints.safetensors';

const bytesOf = (array: Float32Array): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

const [openFile, closeFile, readFile, writeFile, truncate, syncData, syncFile] = [
  promisify(open),
  promisify(close),
  promisify(read),
  promisify(write),
  promisify(ftruncate),
  promisify(fdatasync),
  promisify(fsync),
];

/** Closes a file when its object is collected: a trainer has no method that ends it. */
const descriptors = new FinalizationRegistry<number>((descriptor) => closeSync(descriptor));

/**
 * One safetensors file holds rows of float32 tensors, which are written in order and read in any, however many
 * gigabytes they are.
 * While it grows, `.partial` is at the end of its name.
 */
export class EndpointFile {
  private constructor(
    readonly path: string,
    private readonly layout: EndpointLayout,
    private readonly descriptor: number,
    private readonly dataStart: number,
    /** Whether every row is there. */
    public isWhole: boolean,
    /** Whether none is. */
    readonly isEmpty: boolean,
    private readonly isNameless: boolean,
  ) {
    descriptors.register(this, descriptor, this);
  }

  /**
   * Opens the file of a folder, or begins it. Whoever may write to the folder has its lock.
   * @param folder undefined: a file of this process alone, which is gone with it
   * @param identity what the rows were made with: rows of another are forgotten
   * @param scored how many rows have a score: a whole file is of use where all have
   * @throws CheckpointError where it can be neither read nor written
   */
  static async open(
    folder: string | undefined,
    layout: EndpointLayout,
    identity: string,
    scored: number,
  ): Promise<EndpointFile> {
    const place = join(folder ?? mkdtempSync(join(tmpdir(), 'eam-endpoints-')), fileName);
    try {
      const header = await readHeader(place).catch(() => undefined);
      if (header?.metadata['identity'] === identity && scored === layout.rows) {
        return new EndpointFile(place, layout, await openFile(place, 'r'), header.dataStart, true, false, false);
      }
      const file = await openForWriting(`${place}.partial`);
      const start = buildHeader(columns(layout), { identity });
      const there = new Uint8Array(start.length);
      await readFile(file, there, 0, there.length, 0);
      const isEmpty = !start.every((byte, index) => byte === there[index]);
      if (isEmpty) {
        await truncate(file, 0);
        await writeAll(file, start, 0);
      }
      // Nobody else opens this one by its name: without it, it is gone with the process, however that ends.
      if (folder === undefined) await rm(dirname(place), { recursive: true });
      return new EndpointFile(place, layout, file, start.length, false, isEmpty, folder === undefined);
    } catch (error) {
      throw new CheckpointError(`${place} cannot be written: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Writes rows from `first` on, of every tensor, and waits until they are on the disk. */
  async write(first: number, tensors: Readonly<Record<string, Float32Array>>): Promise<void> {
    for (const [name, values] of Object.entries(tensors)) {
      await writeAll(this.descriptor, bytesOf(values), this.#offset(name, first));
    }
    await syncData(this.descriptor);
  }

  /** Takes the file for whole. */
  async finish(): Promise<void> {
    this.isWhole = true;
    if (this.isNameless) return;
    await syncFile(this.descriptor);
    await rename(`${this.path}.partial`, this.path);
    await sync(dirname(this.path));
  }

  /**
   * Reads some rows of a tensor, one after the other. It does so synchronously: the pages are mostly in memory, and a
   * promise for each row takes longer than reading it.
   * @throws CheckpointError where the file was cut short meanwhile
   */
  read(name: string, rows: readonly number[]): Float32Array {
    const width = product(this.layout.latent);
    const values = new Float32Array(rows.length * width);
    for (const [place, row] of rows.entries()) {
      const bytes = bytesOf(values.subarray(place * width, (place + 1) * width));
      for (let done = 0; done < bytes.length; ) {
        const bytesRead = readSync(this.descriptor, bytes, done, bytes.length - done, this.#offset(name, row) + done);
        if (bytesRead === 0) throw new CheckpointError(`${this.path} was cut short while it was in use`);
        done += bytesRead;
      }
    }
    return values;
  }

  close(): Promise<void> {
    descriptors.unregister(this);
    return closeFile(this.descriptor);
  }

  #offset(name: string, row: number): number {
    const { rows, latent, tensors } = this.layout;
    return this.dataStart + 4 * product(latent) * (tensors.indexOf(name) * rows + row);
  }
}

const product = (shape: readonly number[]): number => shape.reduce((size, length) => size * length, 1);

const columns = ({ rows, latent, tensors }: EndpointLayout) =>
  tensors.map((name) => ({ name, dtype: 'float32' as const, shape: [rows, ...latent] }));

/** Opens a file to be read and written, which is made where it is not there. */
async function openForWriting(path: string): Promise<number> {
  await closeFile(await openFile(path, 'a'));
  return openFile(path, 'r+');
}

async function writeAll(descriptor: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await writeFile(descriptor, bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}
