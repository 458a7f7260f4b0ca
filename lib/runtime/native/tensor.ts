import { core, whenLoaded } from './core.js';
import type { AddonExports } from './open.js';

/** What a tensor's numbers are stored as. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16' | 'int32' | 'int64' | 'uint8';

/**
 * The arrays that hold a tensor's numbers, on an ArrayBuffer or a SharedArrayBuffer: float16 and bfloat16 as their bits
 * in a Uint16Array, int64 as bigint. A Float16Array, where the runtime has it, is taken for float16.
 */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int32Array
  | BigInt64Array
  | Uint16Array
  | Uint8Array
  | Float16ArrayWhereKnown;

/** `Float16Array` under a TypeScript library that declares it, `never` under an older one. */
export type Float16ArrayWhereKnown = typeof globalThis extends {
  /** Its constructor. */
  Float16Array: {
    /** What it constructs. */
    readonly prototype: infer Instance;
  };
}
  ? Instance
  : never;

/** Where a tensor is: `'cpu'`, `'cuda'` (the first GPU) or `'cuda:N'`. */
export type Device = string;

/**
 * An array of numbers in native memory, on the CPU or a GPU. Every operation leaves its tensors as they are and returns
 * new ones, unless it is told to write to one (`out`, `grad`). The memory is freed by `dispose()` (or `using`), by the
 * garbage collector otherwise.
 */
export interface Tensor extends Disposable {
  /** The sizes of its dimensions, such as [batch, channels, height, width]. */
  readonly shape: number[];
  /** What the numbers are stored as. */
  readonly dtype: DType;
  /** Where the numbers are. */
  readonly device: Device;
  /** Whether `dispose()` has been called. */
  readonly disposed: boolean;

  /**
   * The address of the first number, row-major, on the tensor's device. It stays valid while the tensor is neither
   * disposed nor collected; for longer use, hold the tensor or hand over {@link Tensor.toDLPack}. On CUDA, the kernels
   * that fill the memory may still run on the device's default stream when a promise resolves.
   * @throws {@link DisposedError}
   * @throws {@link ConfigError} for a tensor from DLPack that is not row-major
   */
  readonly dataPointer: bigint;

  /**
   * The numbers in row-major order: Float32Array for float32, Float64Array for float64, Int32Array for int32,
   * BigInt64Array for int64, Uint8Array for uint8, Uint16Array with the bits for float16 and bfloat16.
   *
   * Not copied where that is safe: a tensor that shares a typed array's memory gives back that very array; one whose
   * memory nothing else uses may give a view of it, which stays valid after `dispose()`. So treat the array as
   * read-only, or copy it. What a network or another tensor uses too is always copied.
   *
   * @throws {@link DisposedError}
   */
  data(): Promise<TypedArray>;

  /**
   * What {@link Tensor.data} gives, at once. Memory that a network shares, and a GPU's, is read after all calls made
   * before, and this thread waits for them.
   * @throws {@link DisposedError}
   * @throws {@link ConfigError} while an unfinished asynchronous call has this tensor as `out` or `grad`
   */
  dataSync(): TypedArray;

  /**
   * The tensor's memory as a DLPack struct, for another library in this process. Nothing is copied: the struct keeps
   * the memory, also after `dispose()`, until its deleter is called.
   *
   * On CUDA, `stream` is the consumer's stream, as the array API standard counts them: 1n the legacy default stream, 2n
   * the thread's own, else a cudaStream_t's address; its later work comes after what LibTorch has been given so far.
   * Without one the consumer uses the legacy default stream, which is LibTorch's own, or sees to the order itself.
   *
   * @param options `versioned: false` makes the older DLManagedTensor instead of a DLManagedTensorVersioned.
   * @throws {@link DisposedError}
   * @throws {@link ConfigError} for a stream on the CPU; while an unfinished call writes to this tensor
   */
  toDLPack(options?: { stream?: bigint | null | undefined; versioned?: boolean | undefined }): DLPackCapsule;

  /**
   * Converts the numbers to another dtype or device; shares memory where nothing changes.
   * @throws {@link ConfigError} for a device that is not there; nothing ever falls back to the CPU
   * @throws {@link OutOfMemoryError}
   */
  to(options: { dtype?: DType | undefined; device?: Device | undefined }): Promise<Tensor>;

  /** Gives the memory back as soon as running work lets go of it. Any later use throws {@link DisposedError}. */
  dispose(): void;
}

/**
 * A DLPack struct that waits for a consumer. It can be taken once, by {@link TensorConstructor.fromDLPack} or
 * {@link DLPackCapsule.release}; if nobody does, `dispose()` (or `using`, or the garbage collector) calls its deleter.
 */
export interface DLPackCapsule extends Disposable {
  /** The version of a DLManagedTensorVersioned, such as '1.3'; undefined for a DLManagedTensor. */
  readonly version: string | undefined;
  /** Whether it has been taken or disposed. */
  readonly consumed: boolean;
  /**
   * The address of the struct, whose owner is the caller from here on: native code that gets it must call the struct's
   * deleter exactly once, on any thread.
   * @throws {@link DisposedError} the second time
   */
  release(): bigint;
  /** Calls the deleter, where nobody has taken the struct. */
  dispose(): void;
}

/** Where other native code has the memory that {@link TensorConstructor.fromPointer} uses. */
export interface PointerOptions {
  /** The address of the first number; it must be a multiple of the dtype's size. */
  pointer: bigint;
  /** The sizes of its dimensions; the numbers are in row-major order. */
  shape: readonly number[];
  /** What the numbers are stored as; default 'float32'. */
  dtype?: DType | undefined;
  /** Where the address is; default 'cpu'. */
  device?: Device | undefined;
  /**
   * CUDA: the stream that fills and later frees the memory, counted as in {@link Tensor.toDLPack}. Kernels on the
   * tensor wait for what it holds now, and its later work waits for them when the tensor is let go. Without one the
   * memory must be ready, and the thread that lets go waits for the device.
   */
  stream?: bigint | null | undefined;
  /**
   * What keeps the memory alive: it is held until no tensor and no running call uses the memory any more. `null` for
   * memory that is never freed.
   */
  owner: object | null;
}

/** `Tensor`: how tensors come from other memory. */
export interface TensorConstructor {
  /** For `instanceof`; tensors are made by the functions below. */
  readonly prototype: Tensor;
  /** `value instanceof Tensor`. */
  [Symbol.hasInstance](value: unknown): value is Tensor;

  /**
   * A tensor of the given shape from numbers in row-major order.
   *
   * The dtype is by default the array's own (number[]: float32). A Uint16Array holds the bits of float16 or bfloat16
   * numbers, and `dtype` must say which. A typed array of the tensor's own dtype on the CPU is not copied: the tensor
   * shares its memory, sees later writes to it (on a SharedArrayBuffer also other threads'), and as an `out` writes to
   * it. An ArrayBuffer must not be transferred to another thread while a call on its tensor is running; calls made
   * after that throw {@link DisposedError}. Arrays on resizable or growable buffers are copied.
   *
   * @throws {@link ShapeError} where `shape` has another number of elements than `data`
   * @throws {@link ConfigError} for a wrong type, an unknown dtype, a device that is not there
   */
  from(
    data: TypedArray | readonly number[],
    shape: readonly number[],
    options?: { dtype?: DType | undefined; device?: Device | undefined },
  ): Tensor;

  /**
   * A tensor over memory that other native code owns. Nothing is copied, and nothing can check that the memory is as
   * large as `shape` says: a wrong address reads foreign memory or ends the process.
   * @throws {@link ConfigError} for an address that is 0n or unaligned, or (on CUDA) not on the device
   * @throws {@link ShapeError} for sizes below zero
   */
  fromPointer(options: PointerOptions): Tensor;

  /**
   * A tensor over the memory of a DLPack struct, which is taken by this, also where it throws: its deleter is called
   * exactly once, when neither a tensor nor a running call uses the memory. Nothing is copied; strides are kept
   * (kernels copy what is not row-major). On CUDA the memory must be ready on the legacy default stream, and the thread
   * that lets go waits for the device before it calls the deleter.
   *
   * A struct of another library comes by its address, `versioned: false` for a DLManagedTensor. An address that is none
   * ends the process.
   *
   * @throws {@link DisposedError} for a capsule that has been taken before
   * @throws {@link ConfigError} for another major version, a dtype that tensors do not have, a device that is not there
   */
  fromDLPack(source: DLPackCapsule | { pointer: bigint; versioned?: boolean | undefined }): Tensor;
}

/** An array of numbers in native memory; see {@link TensorConstructor.from}. */
export const Tensor: TensorConstructor = lazyTensor();

/**
 * The addon's class, before the addon is loaded: what needs the class loads it, and from then on costs what the class
 * itself costs. `instanceof` loads nothing, since there are no instances before.
 */
function lazyTensor(): TensorConstructor {
  type NativeClass = TensorConstructor & (new () => Tensor);
  const nativeClass = (): NativeClass => (core() as AddonExports & { Tensor: NativeClass }).Tensor;

  function construct(...args: []): Tensor {
    if (!new.target) throw new TypeError("Class constructor Tensor cannot be invoked without 'new'");
    return Reflect.construct(nativeClass(), args, new.target) as Tensor;
  }
  // A bound function has no `prototype` of its own, which would be a value and not a getter; `new`, `extends` and
  // `instanceof` go to the function that is bound.
  const lazy = construct.bind(undefined) as unknown as TensorConstructor;
  Object.defineProperties(lazy, {
    name: { value: 'Tensor' },
    prototype: { get: () => nativeClass().prototype },
  });
  const methods = ['from', 'fromPointer', 'fromDLPack'] as const;
  for (const method of methods) {
    const value = (...args: unknown[]): unknown => Reflect.apply(nativeClass()[method], undefined, args);
    Object.defineProperty(lazy, method, { value, configurable: true });
  }
  whenLoaded(() => {
    const own = nativeClass();
    construct.prototype = own.prototype;
    Object.defineProperty(own.prototype, 'constructor', { value: lazy });
    for (const method of methods) Object.defineProperty(lazy, method, { value: own[method] });
  });
  return lazy;
}
