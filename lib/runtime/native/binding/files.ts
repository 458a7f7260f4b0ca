// Files of tensors.

import type { DType, Tensor } from '../tensor.js';

/** Numbers of 8 bits, which no tensor has: they are widened to float16 as they are read. */
export type Float8 = 'float8_e4m3fn' | 'float8_e5m2';

/** A tensor's place in a safetensors file; `begin` and `end` are bytes from the data section's start. */
export interface TensorFileEntry {
  name: string;
  dtype: DType;
  /** What the file has, where it is read as another dtype. */
  stored?: Float8;
  shape: number[];
  begin: number;
  end: number;
}

/** A file of a network's weights: lib/files/weights.ts. */
export interface WeightFileArgs {
  path: string;
  /** The entries of a safetensors file's header; undefined for a file of torch.save. */
  entries: readonly TensorFileEntry[] | undefined;
  within?: string | undefined;
  only?: readonly string[] | undefined;
  under?: string | undefined;
}

/** The tensors of some files on their way to a network: none of them becomes an object of JavaScript. */
export interface NativeWeightFiles {
  /** In the files' order. */
  tensors(): { name: string; dtype: DType; shape: number[] }[];
  /** Lets go of the files; a network made from them keeps its own hold. */
  dispose(): void;
}

export interface FileBinding {
  /**
   * Maps safetensors files, bounds-checked, and reads those of torch.save. CheckpointError for a name that two files
   * have.
   */
  openWeights(files: readonly WeightFileArgs[]): Promise<NativeWeightFiles>;
  /**
   * Memory-mapped, bounds-checked views into a safetensors file. A call that reads what was cut off meanwhile rejects
   * with CheckpointError.
   */
  mapTensors(path: string, entries: TensorFileEntry[]): Promise<Record<string, Tensor>>;
  /** Reads the tensors into memory of their own. */
  readTensors(path: string, entries: TensorFileEntry[]): Promise<Record<string, Tensor>>;
  /**
   * Header bytes (the length in front) then tensors, written aside, synced and renamed to `path`, or nothing at all.
   */
  writeTensors(path: string, header: Uint8Array, tensors: Tensor[]): Promise<void>;
  /**
   * The dictionary of tensors in a file of torch.save (zip format), through LibTorch's restricted unpickler: nothing in
   * the file is run. Nested dictionaries have dotted names. CheckpointError for anything else.
   */
  readTorchFile(path: string): Promise<Record<string, Tensor>>;
}
