import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import { ConfigError, DisposedError, ShapeError } from '../../lib/errors.js';
import { philoxNormal, renoise } from '../../lib/runtime/kernels.js';
import { binding } from '../../lib/runtime/native/index.js';
import { type DType, Tensor, type TypedArray } from '../../lib/runtime/native/tensor.js';

const dtypes: [DType, TypedArray][] = [
  ['float32', Float32Array.of(1, -2.5, 3)],
  ['float64', Float64Array.of(1, -2.5, 3e-300)],
  ['int32', Int32Array.of(1, -2, 2 ** 31 - 1)],
  ['int64', BigInt64Array.of(1n, -2n, 2n ** 63n - 1n)],
  ['bfloat16', Uint16Array.of(0x3f80, 0xc020, 0x4040)],
  ['float16', Uint16Array.of(0x3c00, 0xc100, 0x4200)],
  ['uint8', Uint8Array.of(0, 128, 255)],
];

describe('Tensor.from', () => {
  it.each(dtypes)('shares the memory of %s’s own array and gives it back', async (dtype, array) => {
    const tensor = Tensor.from(array, [3], { dtype });
    expect(tensor.dtype).toBe(dtype);
    expect(tensor.shape).toEqual([3]);
    expect(tensor.device).toBe('cpu');
    expect(await tensor.data()).toBe(array);
  });

  it.runIf('Float16Array' in globalThis)('takes a Float16Array, where there is one, for float16', async () => {
    const array = (globalThis as unknown as { Float16Array: { of(...numbers: number[]): TypedArray } }).Float16Array.of(
      1,
      -2.5,
    );
    const tensor = Tensor.from(array, [2]);
    expect(tensor.dtype).toBe('float16');
    expect(await tensor.data()).toBe(array);
    expect([...Tensor.from(array, [2], { dtype: 'float32' }).dataSync()]).toEqual([1, -2.5]);
  });

  it('sees later writes to a shared array, also through a view', async () => {
    const array = new Float32Array(8);
    const tensor = Tensor.from(array.subarray(2, 6), [2, 2]);
    array.fill(3, 2, 6);
    expect([...(await (await tensor.to({ dtype: 'float64' })).data())]).toEqual([3, 3, 3, 3]);
    expect(await tensor.data()).toHaveLength(4);
  });

  it('takes the dtype from the array, float32 for numbers', () => {
    expect(Tensor.from([1, 2], [2]).dtype).toBe('float32');
    expect(Tensor.from(new Float64Array(2), [2]).dtype).toBe('float64');
    expect(Tensor.from(new BigInt64Array(2), [2]).dtype).toBe('int64');
  });

  it('converts between dtypes at once, without keeping the array', async () => {
    const array = Float32Array.of(1, -2.5, 3);
    const half = Tensor.from(array, [3], { dtype: 'bfloat16' });
    const double = Tensor.from(array, [3], { dtype: 'float64' });
    array.fill(0);
    expect([...(await half.data())]).toEqual([0x3f80, 0xc020, 0x4040]);
    expect([...(await double.data())]).toEqual([1, -2.5, 3]);
    expect([...(await Tensor.from([1, -2], [2], { dtype: 'int64' }).data())]).toEqual([1n, -2n]);
    expect([...Tensor.from(Uint8ClampedArray.of(7, 255) as never, [2], { dtype: 'float32' }).dataSync()]).toEqual([
      7, 255,
    ]);
  });

  it('copies arrays on resizable memory', async () => {
    const resizable = new (
      ArrayBuffer as unknown as new (
        size: number,
        options: { maxByteLength: number },
      ) => ArrayBuffer & { resize(size: number): void }
    )(8, { maxByteLength: 16 });
    const onResizable = new Float32Array(resizable);
    onResizable.set([3, 4]);
    const tensor = Tensor.from(onResizable, [2]);
    resizable.resize(0);
    expect([...(await tensor.data())]).toEqual([3, 4]);
  });

  it('makes empty tensors and scalars', async () => {
    expect(await Tensor.from([], [0, 3]).data()).toEqual(new Float32Array(0));
    expect(await Tensor.from(new Float64Array(0), [0]).data()).toEqual(new Float64Array(0));
    expect(await Tensor.from([7], []).data()).toEqual(Float32Array.of(7));
  });

  it.each([
    {
      make: () => Tensor.from([1, 2, 3], [2, 2]),
      type: ShapeError,
      message: /data: expected 4 elements, as shape \[2, 2\] has, got 3/,
    },
    {
      make: () => Tensor.from([1], [-1]),
      type: ShapeError,
      message: /shape\[0\]: expected a size of at least 0, got -1/,
    },
    {
      make: () => Tensor.from([], [2 ** 40, 2 ** 40]),
      type: ShapeError,
      message: /shape: expected fewer elements, got/,
    },
    { make: () => Tensor.from([1], [1.5]), type: ConfigError, message: /shape\[0\]: expected an integer, got 1.5/ },
    { make: () => Tensor.from([1], 1 as never), type: ConfigError, message: /shape: expected an array/ },
    {
      make: () => Tensor.from(new Uint16Array(2), [2]),
      type: ConfigError,
      message: /dtype: expected "float16" or "bfloat16".*Uint16Array/,
    },
    {
      make: () => Tensor.from(new Int8Array(2) as never, [2]),
      type: ConfigError,
      message: /Float64Array.*Uint16Array, Uint8Array or number\[\], got Int8Array of length 2/,
    },
    { make: () => Tensor.from('12' as never, [2]), type: ConfigError, message: /got "12"/ },
    {
      make: () => Tensor.from([1, '2' as never], [2]),
      type: ConfigError,
      message: /data\[1\]: expected a number, got "2"/,
    },
    {
      make: () => Tensor.from([1, 2.5], [2], { dtype: 'int32' }),
      type: ConfigError,
      message: /data\[1\]: expected an integer of the tensor's dtype, .*, got 2\.5/,
    },
    {
      make: () => Tensor.from([2 ** 31], [1], { dtype: 'int32' }),
      type: ConfigError,
      message: /data\[0\]: expected an integer of the tensor's dtype, -2147483648 to 2147483647, got 2147483648$/,
    },
    {
      make: () => Tensor.from([0.1], [1], { dtype: 'int64' }),
      type: ConfigError,
      message: /expected an integer of the tensor's dtype, -9223372036854775808 to .*, got 0\.1$/,
    },
    { make: () => Tensor.from([NaN], [1], { dtype: 'int64' }), type: ConfigError, message: /got NaN$/ },
    {
      make: () => Tensor.from([-1], [1], { dtype: 'uint8' }),
      type: ConfigError,
      message: /expected an integer of the tensor's dtype, 0 to 255, got -1$/,
    },
    {
      make: () => Tensor.from([1], [1], { dtype: 'float8' as DType }),
      type: ConfigError,
      message: /"float32", "float64".*got "float8"/,
    },
    {
      make: () => Tensor.from([1], [1], { device: 'gpu' }),
      type: ConfigError,
      message: /"cpu", "cuda" or "cuda:N", got "gpu"/,
    },
    { make: () => Tensor.from([1], [1], { device: 'cuda:99' }), type: ConfigError, message: /cuda/ },
    {
      make: () => Tensor.from([1], [1], { type: 'float32' } as never),
      type: ConfigError,
      message: /type: unknown key/,
    },
    { make: () => new (Tensor as unknown as new () => Tensor)(), type: ConfigError, message: /use Tensor.from/ },
  ])('rejects $make', ({ make, type, message }) => {
    expect(make).toThrow(type);
    expect(make).toThrow(message);
  });

  it('names a device that is not there and never falls back', () => {
    if (binding().cudaDeviceCount() > 0) expect(Tensor.from([1], [1], { device: 'cuda' }).device).toBe('cuda:0');
    else expect(() => Tensor.from([1], [1], { device: 'cuda' })).toThrow(ConfigError);
  });
});

describe('Tensor.data', () => {
  it('gives the memory of a tensor that is alone with it, once, and copies afterwards', async () => {
    const tensor = await philoxNormal([4096], { seed: 1n, stream: 1n });
    const first = (await tensor.data()) as Float32Array;
    const second = (await tensor.data()) as Float32Array;
    expect(second).toEqual(first);
    expect(second.buffer).not.toBe(first.buffer);
    const kept = first[0];
    first[0] = 42; // the tensor's own memory …
    expect(((await tensor.data()) as Float32Array)[0]).toBe(42);
    expect(second[0]).toBe(kept); // … and a copy of it
    tensor.dispose();
    expect(first[0]).toBe(42); // stays valid
  });

  it('copies what another tensor shares', async () => {
    const tensor = await philoxNormal([4096], { seed: 1n, stream: 1n });
    const same = await tensor.to({ dtype: 'float32' });
    const array = (await tensor.data()) as Float32Array;
    const value = array[0];
    array[0] = 42;
    expect(((await same.data()) as Float32Array)[0]).toBe(value);
  });
});

describe('Tensor.to', () => {
  it('rounds to the nearest half number and back', async () => {
    const tensor = Tensor.from([1 / 3, 65504, 1e-8], [3]);
    expect([...(await (await tensor.to({ dtype: 'float16' })).data())]).toEqual([0x3555, 0x7bff, 0x0000]);
    expect(
      [...(await (await (await tensor.to({ dtype: 'bfloat16' })).to({ dtype: 'float32' })).data())][0],
    ).toBeCloseTo(1 / 3, 2);
  });

  it('rejects what it does not know', async () => {
    const tensor = Tensor.from([1], [1]);
    await expect(tensor.to({ dtype: 'int8' as DType })).rejects.toThrow(ConfigError);
    await expect(tensor.to('float32' as never)).rejects.toThrow(ConfigError);
    await expect((tensor.to as () => Promise<Tensor>).call(tensor)).rejects.toThrow(ConfigError);
  });
});

describe('Tensor.dispose', () => {
  it('makes every use throw DisposedError', async () => {
    const tensor = Tensor.from([1, 2], [2]);
    tensor.dispose();
    tensor.dispose();
    expect(tensor.disposed).toBe(true);
    expect(() => tensor.shape).toThrow(DisposedError);
    expect(() => tensor.dtype).toThrow(DisposedError);
    expect(() => tensor.device).toThrow(DisposedError);
    await expect(tensor.data()).rejects.toThrow(DisposedError);
    await expect(tensor.to({ dtype: 'float64' })).rejects.toThrow(/disposed/);
    expect(inspect(tensor)).toBe('Tensor (disposed)');
  });

  it('is called at the end of a `using` block', () => {
    let outside: Tensor;
    {
      using tensor = Tensor.from([1], [1]);
      outside = tensor;
      expect(outside.disposed).toBe(false);
    }
    expect(outside.disposed).toBe(true);
  });

  it('lets running work finish', async () => {
    const x1 = await philoxNormal([2, 100_000], { seed: 1n, stream: 1n });
    const running = renoise({ x1, t: [0, 1], noise: { seed: 1n, stream: 2n } });
    x1.dispose();
    expect((await running).shape).toEqual([2, 100_000]);
  });

  it('has the same effect as transferring the array', async () => {
    const array = Float32Array.of(1, 2);
    const tensor = Tensor.from(array, [2]);
    structuredClone(array, { transfer: [array.buffer] });
    await expect(tensor.data()).rejects.toThrow(DisposedError);
    await expect(tensor.data()).rejects.toThrow(/transferred/);
  });
});

describe('Tensor', () => {
  it('prints what it holds', () => {
    expect(inspect(Tensor.from([1, 2, 3, 4, 5, 6], [2, 3]))).toBe('Tensor float32 [2, 3]');
    const value: unknown = Tensor.from([1], [1]);
    expect(value instanceof Tensor && value.shape).toEqual([1]);
    expect(({} as unknown) instanceof Tensor).toBe(false);
  });

  it('does not take other objects for tensors', async () => {
    const forged = Object.create(Tensor.prototype) as Tensor;
    const other = Object.setPrototypeOf(new (binding().Cancellation)(), Tensor.prototype) as Tensor;
    for (const impostor of [forged, other, {} as Tensor]) {
      await expect(renoise({ x1: impostor, t: [0.5], noise: { seed: 1n, stream: 1n } })).rejects.toThrow(ShapeError);
      expect(() => Object.getOwnPropertyDescriptor(Tensor.prototype, 'shape')!.get!.call(impostor)).toThrow(Error);
      expect(() => Tensor.prototype.dispose.call(impostor)).toThrow(Error);
    }
  });
});
