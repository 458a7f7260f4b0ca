// Memory that other native code owns: DLPack structs, both ways, and addresses. Structs of another library are laid out
// here by hand, in memory of typed arrays; native/test/check_dlpack.cpp counts calls of deleters.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ConfigError, DisposedError, ShapeError } from '../../lib/errors.js';
import { philoxNormal, philoxNormalSync, renoise, renoiseSync } from '../../lib/runtime/kernels.js';
import { inspect } from '../../lib/runtime/native/loader.js';
import { type DType, Tensor, type TypedArray } from '../../lib/runtime/native/tensor.js';
import { hold } from '../helpers/executor.js';
import { collectAll, collectedUntil } from '../helpers/garbage.js';
import { buildCheck } from '../helpers/native-check.js';

const noise = { seed: 1n, stream: 1n };
const addressOf = (array: TypedArray) => Tensor.from(array, [array.length]).dataPointer;

interface Struct {
  data?: bigint;
  device?: [number, number];
  dtype?: [number, number, number];
  shape?: number[];
  strides?: number[];
  dimensions?: number;
  offset?: bigint;
  version?: [number, number];
  flags?: bigint;
}

const kept: unknown[] = []; // what the structs point to

/** The address of a DLManagedTensorVersioned over `numbers`, or of a DLManagedTensor, without a deleter. */
function structOver(numbers: TypedArray, changes: Struct = {}, versioned = true): bigint {
  const {
    data,
    device = [1, 0],
    dtype = [2, 32, 1],
    shape = [numbers.length],
    strides,
    dimensions = shape.length,
    offset = 0n,
    version = [1, 0],
    flags = 0n,
  } = changes;
  const sizes = BigInt64Array.from(shape, BigInt);
  const steps = strides && BigInt64Array.from(strides, BigInt);
  const words = new BigInt64Array(10);
  const bytes = new DataView(words.buffer);
  const tensor = versioned ? 32 : 0;
  if (versioned) {
    bytes.setUint32(0, version[0], true);
    bytes.setUint32(4, version[1], true);
    bytes.setBigUint64(24, flags, true);
  }
  bytes.setBigUint64(tensor, data ?? addressOf(numbers), true);
  bytes.setInt32(tensor + 8, device[0], true);
  bytes.setInt32(tensor + 12, device[1], true);
  bytes.setInt32(tensor + 16, dimensions, true);
  bytes.setUint8(tensor + 20, dtype[0]);
  bytes.setUint8(tensor + 21, dtype[1]);
  bytes.setUint16(tensor + 22, dtype[2], true);
  bytes.setBigUint64(tensor + 24, sizes.length > 0 ? addressOf(sizes) : 0n, true);
  bytes.setBigUint64(tensor + 32, steps ? addressOf(steps) : 0n, true);
  bytes.setBigUint64(tensor + 40, offset, true);
  kept.push(numbers, sizes, steps, words);
  return addressOf(words);
}

describe('toDLPack and fromDLPack', () => {
  it.each([true, false])('share memory both ways, versioned %s', (versioned) => {
    const array = Float32Array.of(1, 2, 3, 4, 5, 6);
    const capsule = Tensor.from(array, [2, 3]).toDLPack({ versioned });
    expect(capsule.version).toEqual(versioned ? expect.stringMatching(/^1\.\d+$/) : undefined);
    const tensor = Tensor.fromDLPack(capsule);
    expect([tensor.shape, tensor.dtype, tensor.device]).toEqual([[2, 3], 'float32', 'cpu']);
    array[5] = 7;
    expect([...tensor.dataSync()]).toEqual([1, 2, 3, 4, 5, 7]);
    philoxNormalSync([2, 3], { ...noise, out: tensor });
    expect([...array]).toEqual([...philoxNormalSync([2, 3], noise).dataSync()]);
  });

  it.each<{ dtype: DType; array: TypedArray }>([
    { dtype: 'float32', array: Float32Array.of(1, 2) },
    { dtype: 'float64', array: Float64Array.of(1, 2) },
    { dtype: 'int32', array: Int32Array.of(1, 2) },
    { dtype: 'int64', array: BigInt64Array.of(1n, 2n) },
    { dtype: 'bfloat16', array: Uint16Array.of(1, 2) },
    { dtype: 'float16', array: Uint16Array.of(1, 2) },
    { dtype: 'uint8', array: Uint8Array.of(1, 255) },
  ])('keep the dtype $dtype', ({ dtype, array }) => {
    const tensor = Tensor.fromDLPack(Tensor.from(array, [2], { dtype }).toDLPack());
    expect(tensor.dtype).toBe(dtype);
    expect(tensor.dataSync()).toEqual(array);
  });

  it('work on tensors without elements and without dimensions', () => {
    expect(Tensor.fromDLPack(Tensor.from([], [0, 3]).toDLPack()).shape).toEqual([0, 3]);
    expect(Tensor.fromDLPack(Tensor.from([5], []).toDLPack()).dataSync()).toEqual(Float32Array.of(5));
  });

  it('hand a struct over once', () => {
    const tensor = Tensor.from([1, 2], [2]);
    const capsule = tensor.toDLPack();
    expect(capsule.consumed).toBe(false);
    Tensor.fromDLPack(capsule);
    expect(capsule.consumed).toBe(true);
    expect(() => Tensor.fromDLPack(capsule)).toThrow(DisposedError);
    expect(() => capsule.release()).toThrow(/taken once/);
    const disposed = tensor.toDLPack();
    disposed.dispose();
    disposed.dispose();
    expect(() => Tensor.fromDLPack(disposed)).toThrow(DisposedError);
  });

  it('hand its address to other native code, which may give it back', () => {
    const array = Float32Array.of(1, 2, 3);
    const tensor = Tensor.from(array, [3]);
    const pointer = tensor.toDLPack().release();
    const words = Tensor.fromPointer({ pointer, shape: [10], dtype: 'int64', owner: null }).dataSync() as BigInt64Array;
    expect(words[0]! & 0xffffffffn).toBe(1n); // the major version
    expect(words[4]).toBe(tensor.dataPointer);
    expect(Tensor.fromDLPack({ pointer }).dataSync()).toEqual(array);
  });

  it.each([
    { what: 'a capsule that nobody takes', make: (tensor: Tensor) => tensor.toDLPack() },
    { what: 'a tensor made of it', make: (tensor: Tensor) => Tensor.fromDLPack(tensor.toDLPack()) },
    {
      what: 'a tensor made of its address',
      make: (tensor: Tensor) => Tensor.fromDLPack({ pointer: tensor.toDLPack().release() }),
    },
  ])('keep the memory as long as $what', async ({ make }) => {
    let freed = 0;
    const registry = new FinalizationRegistry(() => ++freed);
    const hold = (() => {
      const array = Float32Array.of(1, 2, 3);
      registry.register(array.buffer, undefined);
      const tensor = Tensor.from(array, [3]);
      const made = make(tensor);
      tensor.dispose();
      return [made];
    })();
    await collectAll();
    expect(freed).toBe(0);
    hold.pop(); // the collector calls the deleter
    expect(await collectedUntil(() => freed === 1)).toBe(true);
  });

  it('give memory back many times over without growing or crashing', async () => {
    const array = new Float32Array(100);
    for (let i = 0; i < 20_000; ++i) {
      const tensor = Tensor.from(array, [100]);
      const capsule = tensor.toDLPack({ versioned: i % 2 === 0 });
      if (i % 3 === 0) capsule.dispose();
      else if (i % 3 === 1) Tensor.fromDLPack(capsule).dispose();
      tensor.dispose();
    }
    await collectAll();
    expect(array).toHaveLength(100);
  });

  it.each([
    { source: undefined, message: /expected an object/ },
    { source: {}, message: /pointer: expected a bigint/ },
    { source: { pointer: 0n }, message: /pointer: expected an address, got 0n/ },
    { source: { pointer: 3n }, message: /unaligned/ },
    { source: { pointer: 8 }, message: /bigint/ },
    { source: { capsule: 1 }, message: /capsule: unknown key/ },
  ])('refuse $source', ({ source, message }) => {
    expect(() => Tensor.fromDLPack(source as never)).toThrow(ConfigError);
    expect(() => Tensor.fromDLPack(source as never)).toThrow(message);
  });

  it('refuse a stream on the CPU, and a receiver that is none', () => {
    const tensor = Tensor.from([1], [1]);
    expect(() => tensor.toDLPack({ stream: 1n })).toThrow(
      /stream: expected none, as the memory is on "cpu" and streams are CUDA's, got 1n/,
    );
    expect(tensor.toDLPack({ stream: null }).consumed).toBe(false);
    const capsule = tensor.toDLPack();
    expect(() => capsule.release.call({} as never)).toThrow();
    expect(() => new (capsule.constructor as new () => unknown)()).toThrow(/toDLPack/);
  });

  it('refuse a tensor that is being written to at once, instead of waiting', async () => {
    const release = hold();
    const out = Tensor.from(new Float32Array(6), [6]);
    const call = philoxNormal([6], { ...noise, out });
    expect(() => out.toDLPack()).toThrow(/await that call/);
    await release();
    await call;
    expect(out.toDLPack().consumed).toBe(false);
  });
});

describe('a DLPack struct of another library', () => {
  const numbers = Float32Array.of(1, 2, 3, 4, 5, 6);
  const open = (changes: Struct, versioned = true) =>
    Tensor.fromDLPack({ pointer: structOver(numbers, changes, versioned), versioned });

  it.each([true, false])('is read where it is, versioned %s', (versioned) => {
    const tensor = open({ shape: [2, 3] }, versioned);
    expect(tensor.dataPointer).toBe(addressOf(numbers));
    expect(tensor.dataSync()).toEqual(numbers);
  });

  it('is read with strides and an offset', () => {
    const transposed = open({ shape: [3, 2], strides: [1, 3] });
    expect([...transposed.dataSync()]).toEqual([1, 4, 2, 5, 3, 6]);
    expect(() => transposed.dataPointer).toThrow(/row-major/);
    const row = Tensor.from([1, 4, 2, 5, 3, 6], [3, 2]);
    const t = [1, 1, 1];
    expect(renoiseSync({ x1: transposed, t, noise }).dataSync()).toEqual(renoiseSync({ x1: row, t, noise }).dataSync());
    expect(() => philoxNormalSync([3, 2], { ...noise, out: transposed })).toThrow(ShapeError);
    expect([...open({ shape: [2], offset: 16n }).dataSync()]).toEqual([5, 6]);
  });

  it('is read where it is one number seen many times, too often to be written out', async () => {
    const tensor = open({ shape: [1, 2 ** 45], strides: [0, 0] });
    await expect(renoise({ x1: tensor, t: [0.5], noise })).rejects.toThrow(
      /^renoise: not enough host memory: 140737488355328 bytes \(131072\.0 GiB\) in one piece$/,
    );
  });

  it('is never written to where it is read-only', () => {
    const tensor = open({ flags: 1n });
    expect(() => philoxNormalSync([6], { ...noise, out: tensor })).toThrow(/cannot be written to/);
    expect(() => tensor.toDLPack({ versioned: false })).toThrow(/versioned/);
    const again = Tensor.fromDLPack(tensor.toDLPack());
    expect(() => philoxNormalSync([6], { ...noise, out: again })).toThrow(/cannot be written to/);
  });

  it.each<{ what: string; changes: Struct; message: RegExp }>([
    { what: 'another major version', changes: { version: [2, 0] }, message: /expected DLPack version 1\.x, got 2\.0/ },
    { what: 'a complex dtype', changes: { dtype: [5, 64, 1] }, message: /dtype code 5 of 64 bits/ },
    { what: 'lanes', changes: { dtype: [2, 32, 4] }, message: /4 lanes/ },
    { what: 'an unknown device', changes: { device: [8, 0] }, message: /device type 8/ },
    { what: 'negative dimensions', changes: { dimensions: -1 }, message: /expected 0 to 64 dimensions, got -1/ },
    {
      what: 'far too many dimensions',
      changes: { dimensions: 1_000_000 },
      message: /expected 0 to 64 dimensions, got 1000000/,
    },
    { what: 'a negative size', changes: { shape: [-6] }, message: /none below 0/ },
    { what: 'too many elements', changes: { shape: [2 ** 40, 2 ** 40] }, message: /expected fewer elements, got/ },
    { what: 'a negative stride', changes: { strides: [-1] }, message: /strides/ },
    { what: 'no memory', changes: { data: 0n }, message: /null pointer/ },
    { what: 'unaligned memory', changes: { offset: 2n }, message: /expected an address that is a multiple of 4/ },
  ])('is refused with $what', ({ changes, message }) => {
    expect(() => open(changes)).toThrow(ConfigError);
    expect(() => open(changes)).toThrow(message);
    expect(() => open(changes)).toThrow(/^Tensor.fromDLPack: /);
  });

  it('is refused on a GPU that is not there', () => {
    expect(() => open({ device: [2, 99] })).toThrow(ConfigError);
  });
});

describe('fromPointer', () => {
  const array = Float32Array.of(1, 2, 3, 4);
  const good = { pointer: addressOf(array), shape: [2, 2], owner: array };

  it('reads and writes where the address says', () => {
    const tensor = Tensor.fromPointer(good);
    expect(tensor.dataPointer).toBe(good.pointer);
    expect(tensor.dataSync()).toEqual(array);
    const scratch = new Float64Array(2);
    const out = Tensor.fromPointer({ pointer: addressOf(scratch), shape: [2], dtype: 'float64', owner: scratch });
    philoxNormalSync([2], { ...noise, dtype: 'float64', out });
    expect(scratch).toEqual(philoxNormalSync([2], { ...noise, dtype: 'float64' }).dataSync());
  });

  it('does not wait for calls made before', async () => {
    const release = hold();
    const out = Tensor.from(new Float32Array(6), [6]);
    const call = philoxNormal([6], { ...noise, out });
    expect(Tensor.fromPointer(good).dataSync()).toEqual(array);
    expect(() => out.toDLPack()).toThrow(/await that call/); // which has not begun yet
    await release();
    await call;
  });

  it('keeps the owner until the memory is let go', async () => {
    let freed = 0;
    const registry = new FinalizationRegistry(() => ++freed);
    const make = () => {
      const owner = {};
      registry.register(owner, undefined);
      return Tensor.fromPointer({ ...good, owner });
    };
    const tensor = make();
    const capsule = tensor.toDLPack();
    tensor.dispose();
    await collectAll();
    expect(freed).toBe(0);
    capsule.dispose();
    expect(await collectedUntil(() => freed === 1)).toBe(true);
  });

  it.each([
    { changes: { pointer: 0n }, type: ConfigError, message: /pointer: expected an address/ },
    { changes: { pointer: 2n }, type: ConfigError, message: /expected an address that is a multiple of 4/ },
    { changes: { pointer: -8n }, type: ConfigError, message: /pointer: expected/ },
    { changes: { pointer: 2n ** 64n }, type: ConfigError, message: /pointer: expected/ },
    { changes: { pointer: 4096 }, type: ConfigError, message: /bigint/ },
    { changes: { shape: [-1] }, type: ShapeError, message: /shape\[0\]: expected/ },
    { changes: { dtype: 'int8' }, type: ConfigError, message: /dtype: expected/ },
    { changes: { device: 'cuda:99' }, type: ConfigError, message: /device: expected/ },
    { changes: { stream: 1n }, type: ConfigError, message: /stream: expected none, .*CUDA's, got 1n/ },
    { changes: { owner: undefined }, type: ConfigError, message: /owner: expected .*but it is missing/ },
    { changes: { owner: 5 }, type: ConfigError, message: /owner: expected .*got 5/ },
    { changes: { strides: [1] }, type: ConfigError, message: /strides: unknown key/ },
  ])('refuses $changes', ({ changes, type, message }) => {
    const make = () => Tensor.fromPointer({ ...good, ...changes } as never);
    expect(make).toThrow(type);
    expect(make).toThrow(message);
    expect(make).toThrow(/^Tensor.fromPointer: /);
  });
});

it('DLPack deleters are called exactly once', async () => {
  const { loaded } = inspect();
  const program = await buildCheck(loaded!.addon.directory, 'check_dlpack');
  const checked = spawnSync(program, {
    encoding: 'utf8',
    env: { ...process.env, LD_LIBRARY_PATH: join(loaded!.libtorch.directory, 'lib') },
  });
  expect(checked.stdout).toBe('all checks passed\n');
  expect(checked.status).toBe(0);
});
