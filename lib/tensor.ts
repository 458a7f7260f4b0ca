import { binding } from './native/index.js';

export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16' | 'int32' | 'int64';

/** The arrays that hold a tensor's numbers: float16 and bfloat16 as their bits in a Uint16Array, int64 as bigint. */
export type TypedArray = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint16Array;

/** `'cpu'`, `'cuda'` (the first GPU) or `'cuda:N'`. */
export type Device = string;

/**
 * An array of numbers in native memory, on the CPU or a GPU. Every operation leaves its tensors as they are and returns
 * new ones. The memory is freed by `dispose()` (or `using`), by the garbage collector otherwise.
 */
export interface Tensor extends Disposable {
  /** Sizes, such as [batch, channels, height, width]. */
  readonly shape: number[];
  readonly dtype: DType;
  readonly device: Device;
  readonly disposed: boolean;

  /**
   * The numbers in row-major order: Float32Array for float32, Float64Array for float64, Int32Array for int32,
   * BigInt64Array for int64, Uint16Array with the bits for float16 and bfloat16.
   *
   * Not copied where that is safe: a tensor that shares a typed array's memory gives back that very array; one whose
   * memory nothing else uses may give a view of it, which stays valid after `dispose()`. So treat the array as read-only,
   * or copy it. What a network or another tensor uses too is always copied.
   *
   * @throws {@link DisposedError}
   */
  data(): Promise<TypedArray>;

  /**
   * The same numbers in another dtype or on another device; shares memory where nothing changes.
   * @throws {@link ConfigError} for a device that is not there; nothing ever falls back to the CPU
   * @throws {@link OutOfMemoryError}
   */
  to(options: { dtype?: DType | undefined; device?: Device | undefined }): Promise<Tensor>;

  /** Gives the memory back as soon as running work lets go of it. Any later use throws {@link DisposedError}. */
  dispose(): void;
}

export interface TensorConstructor {
  readonly prototype: Tensor;
  /** `value instanceof Tensor`. */
  [Symbol.hasInstance](value: unknown): value is Tensor;

  /**
   * A tensor of the given shape from numbers in row-major order.
   *
   * The dtype is by default the array's own (number[]: float32). A Uint16Array holds the bits of float16 or bfloat16
   * numbers, and `dtype` must say which. A typed array of the tensor's own dtype on the CPU is not copied: the tensor
   * shares its memory, sees later writes to it, and must not be used once its buffer has been transferred to another
   * thread (calls made after that throw {@link DisposedError}; do not transfer while a call is running). Arrays on
   * shared or resizable buffers are copied.
   *
   * @throws {@link ShapeError} where `shape` has another number of elements than `data`
   * @throws {@link ConfigError} for a wrong type, an unknown dtype, a device that is not there
   */
  from(data: TypedArray | readonly number[], shape: readonly number[], options?: { dtype?: DType | undefined; device?: Device | undefined }): Tensor;
}

export const Tensor: TensorConstructor = binding().Tensor;
