// Arrays of several dimensions in plain JavaScript, for what operators are compared with.

export class Plain {
  constructor(
    readonly shape: readonly number[],
    readonly data: Float64Array,
  ) {}

  /** An array whose numbers are a function of their indices. */
  static of(shape: readonly number[], value: (...index: number[]) => number): Plain {
    const data = new Float64Array(shape.reduce((product, size) => product * size, 1));
    for (const [position, index] of indices(shape).entries()) data[position] = value(...index);
    return new Plain(shape, data);
  }

  /** The number at these indices; a missing dimension at the front or one of size 1 is broadcast. */
  at(...index: number[]): number {
    const own = index.slice(index.length - this.shape.length);
    return this.data[own.reduce((sum, i, dim) => sum * this.shape[dim]! + (this.shape[dim] === 1 ? 0 : i), 0)]!;
  }

  map(change: (value: number) => number): Plain {
    return new Plain(this.shape, this.data.map(change));
  }

  /** The same numbers in row-major order under another shape. */
  as(shape: readonly number[]): Plain {
    return new Plain(shape, this.data);
  }
}

/** Every index of an array of this shape, in row-major order. */
function indices(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (all, size) => all.flatMap((index) => Array.from({ length: size }, (_, i) => [...index, i])),
    [[]],
  );
}

/** Σ over i from 0 to count − 1. */
export function total(count: number, term: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += term(i);
  return sum;
}

/** Both broadcast to one shape, and combined number by number. */
export function broadcast(a: Plain, b: Plain, combine: (a: number, b: number) => number): Plain {
  const rank = Math.max(a.shape.length, b.shape.length);
  const padded = ({ shape }: Plain) => [...Array<number>(rank - shape.length).fill(1), ...shape];
  const [left, right] = [padded(a), padded(b)];
  return Plain.of(
    left.map((size, dim) => Math.max(size, right[dim]!)),
    (...index) => combine(a.at(...index), b.at(...index)),
  );
}
