// The layers among the operators, each with its plain formula.
import { Tensor } from '../../lib/runtime/native/tensor.js';
import * as ops from '../../lib/runtime/operators/index.js';
import type { OperatorCase } from './operator-check.js';
import { Plain, total } from './plain-arrays.js';

export const softmaxOf = (values: readonly number[]): number[] => {
  const exps = values.map(Math.exp);
  const norm = exps.reduce((a, b) => a + b);
  return exps.map((value) => value / norm);
};

export const meanOf = (row: readonly number[]) => row.reduce((a, b) => a + b) / row.length;
export const varianceOf = (row: readonly number[]) => meanOf(row.map((v) => (v - meanOf(row)) ** 2));

/** A number of an image with zeros around it. */
const padded = (x: Plain, b: number, c: number, i: number, j: number): number =>
  i < 0 || j < 0 || i >= x.shape[2]! || j >= x.shape[3]! ? 0 : x.at(b, c, i, j);

export const layers: OperatorCase[] = [
  {
    title: 'matmul of batches',
    shapes: [
      [2, 1, 3, 4],
      [5, 4, 2],
    ],
    f: (a, b) => ops.matmul(a!, b!),
    expected: (a, b) => Plain.of([2, 5, 3, 2], (n, m, i, j) => total(4, (k) => a!.at(n!, 0, i!, k) * b!.at(m!, k, j!))),
  },
  {
    title: 'linear',
    shapes: [[2, 3, 4], [5, 4], [5]],
    f: (x, w, b) => ops.linear(x!, w!, b),
    expected: (x, w, b) =>
      Plain.of([2, 3, 5], (n, i, o) => b!.at(o!) + total(4, (k) => x!.at(n!, i!, k) * w!.at(o!, k))),
  },
  {
    title: 'linear without bias',
    shapes: [
      [3, 4],
      [5, 4],
    ],
    f: (x, w) => ops.linear(x!, w!),
    expected: (x, w) => Plain.of([3, 5], (i, o) => total(4, (k) => x!.at(i!, k) * w!.at(o!, k))),
  },
  {
    title: 'conv2d',
    shapes: [[2, 2, 4, 5], [3, 2, 3, 3], [3]],
    f: (x, w, b) => ops.conv2d(x!, w!, b, { padding: 1 }),
    expected: (x, w, b) =>
      Plain.of(
        [2, 3, 4, 5],
        (n, o, i, j) =>
          b!.at(o!) +
          total(2, (c) =>
            total(3, (u) => total(3, (v) => w!.at(o!, c, u, v) * padded(x!, n!, c, i! + u - 1, j! + v - 1))),
          ),
      ),
  },
  {
    title: 'conv2d with strides, dilation and groups',
    shapes: [
      [1, 4, 7, 6],
      [2, 2, 2, 3],
    ],
    f: (x, w) => ops.conv2d(x!, w!, undefined, { stride: [2, 1], padding: [1, 2], dilation: [3, 2], groups: 2 }),
    expected: (x, w) =>
      Plain.of([1, 2, 3, 6], (n, o, i, j) =>
        total(2, (c) =>
          total(2, (u) =>
            total(3, (v) => w!.at(o!, c, u, v) * padded(x!, n!, 2 * o! + c, 2 * i! + 3 * u - 1, j! + 2 * v - 2)),
          ),
        ),
      ),
  },
  {
    title: 'convTranspose2d',
    shapes: [[1, 2, 3, 3], [2, 2, 3, 3], [2]],
    f: (x, w, b) => ops.convTranspose2d(x!, w!, b, { stride: 2, padding: 1, outputPadding: 1 }),
    expected: (x, w, b) =>
      Plain.of([1, 2, 6, 6], (n, o, i, j) => {
        const terms = total(2, (c) =>
          total(3, (p) =>
            total(3, (q) => {
              const [u, v] = [i! + 1 - 2 * p, j! + 1 - 2 * q];
              return u >= 0 && u < 3 && v >= 0 && v < 3 ? x!.at(n!, c, p, q) * w!.at(c, o!, u, v) : 0;
            }),
          ),
        );
        return b!.at(o!) + terms;
      }),
  },
  {
    title: 'averagePool2d',
    shapes: [[1, 2, 4, 6]],
    f: (x) => ops.averagePool2d(x!, [2, 3]),
    expected: (x) =>
      Plain.of(
        [1, 2, 2, 2],
        (n, c, i, j) => total(2, (u) => total(3, (v) => x!.at(n!, c!, 2 * i! + u, 3 * j! + v))) / 6,
      ),
  },
  {
    title: 'interpolate to the nearest',
    shapes: [[1, 2, 2, 3]],
    f: (x) => ops.interpolate(x!, [4, 6]),
    expected: (x) => Plain.of([1, 2, 4, 6], (n, c, i, j) => x!.at(n!, c!, i! >> 1, j! >> 1)),
  },
  {
    title: 'interpolate bilinearly',
    shapes: [[1, 1, 3, 2]],
    f: (x) => ops.interpolate(x!, [6, 4], 'bilinear'),
    expected: (x) => {
      const along = (size: number, i: number) => {
        const place = Math.max(0, (i + 0.5) / 2 - 0.5);
        const low = Math.min(size - 1, Math.floor(place));
        return { low, high: Math.min(size - 1, low + 1), weight: place - low };
      };
      return Plain.of([1, 1, 6, 4], (_, __, i, j) => {
        const [row, column] = [along(3, i!), along(2, j!)];
        const across = (k: number) =>
          (1 - column.weight) * x!.at(0, 0, k, column.low) + column.weight * x!.at(0, 0, k, column.high);
        return (1 - row.weight) * across(row.low) + row.weight * across(row.high);
      });
    },
  },
  {
    title: 'embedding',
    shapes: [[4, 3]],
    f: (table) => ops.embedding(table!, Tensor.from(BigInt64Array.from([3n, 0n, 3n, 1n]), [2, 2])),
    expected: (table) => Plain.of([2, 2, 3], (i, j, k) => table!.at([3, 0, 3, 1][2 * i! + j!]!, k!)),
  },
  {
    title: 'layerNorm',
    shapes: [[2, 5], [5], [5]],
    f: (x, weight, bias) => ops.layerNorm(x!, { weight, bias, epsilon: 1e-3 }),
    expected: (x, weight, bias) =>
      Plain.of([2, 5], (i, j) => {
        const row = [0, 1, 2, 3, 4].map((k) => x!.at(i!, k));
        return ((x!.at(i!, j!) - meanOf(row)) / Math.sqrt(varianceOf(row) + 1e-3)) * weight!.at(j!) + bias!.at(j!);
      }),
  },
  {
    title: 'groupNorm',
    shapes: [[2, 4, 1, 3], [4], [4]],
    f: (x, weight, bias) => ops.groupNorm(x!, 2, { weight, bias }),
    expected: (x, weight, bias) =>
      Plain.of([2, 4, 1, 3], (n, c, _, j) => {
        const group = [0, 1].flatMap((d) => [0, 1, 2].map((k) => x!.at(n!, 2 * (c! >> 1) + d, 0, k)));
        const scaled = (x!.at(n!, c!, 0, j!) - meanOf(group)) / Math.sqrt(varianceOf(group) + 1e-5);
        return scaled * weight!.at(c!) + bias!.at(c!);
      }),
  },
  {
    title: 'rmsNorm',
    shapes: [[2, 4], [4]],
    f: (x, weight) => ops.rmsNorm(x!, { weight, epsilon: 1e-2 }),
    expected: (x, weight) =>
      Plain.of([2, 4], (i, j) => {
        const square = total(4, (k) => x!.at(i!, k) ** 2) / 4;
        return (x!.at(i!, j!) / Math.sqrt(square + 1e-2)) * weight!.at(j!);
      }),
  },
  {
    title: 'attention',
    shapes: [
      [1, 2, 3, 4],
      [1, 2, 5, 4],
      [1, 2, 5, 3],
    ],
    f: (q, k, v) => ops.attention(q!, k!, v!),
    expected: (q, k, v) => attended(q!, k!, v!, 0.5, () => 0),
  },
  {
    title: 'attention with a mask and a scale',
    shapes: [
      [1, 1, 3, 2],
      [1, 1, 4, 2],
      [1, 1, 4, 2],
      [3, 4],
    ],
    f: (q, k, v, mask) => ops.attention(q!, k!, v!, { mask, scale: 0.3 }),
    expected: (q, k, v, mask) => attended(q!, k!, v!, 0.3, (i, j) => mask!.at(i, j)),
  },
  {
    title: 'attention that is causal',
    shapes: [
      [1, 1, 3, 2],
      [1, 1, 3, 2],
      [1, 1, 3, 2],
    ],
    f: (q, k, v) => ops.attention(q!, k!, v!, { causal: true }),
    expected: (q, k, v) => attended(q!, k!, v!, Math.SQRT1_2, (i, j) => (j > i ? -Infinity : 0)),
  },
];

function attended(q: Plain, k: Plain, v: Plain, scale: number, mask: (i: number, j: number) => number): Plain {
  const [, heads, length, width] = q.shape as [number, number, number, number];
  const [, , keys, values] = v.shape as [number, number, number, number];
  return Plain.of([1, heads, length, values], (_, h, i, e) => {
    const logits = Array.from(
      { length: keys },
      (__, j) => scale * total(width, (d) => q.at(0, h!, i!, d) * k.at(0, h!, j, d)) + mask(i!, j),
    );
    const weights = softmaxOf(logits);
    return total(keys, (j) => weights[j]! * v.at(0, h!, j, e!));
  });
}
