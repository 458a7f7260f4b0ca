// Every operator against a plain formula in float64, and its gradients against central differences of its own values.
import { describe, expect, it } from 'vitest';

import type { TensorFunction } from '../../lib/runtime/compute.js';
import { binding } from '../../lib/runtime/native/index.js';
import * as ops from '../../lib/runtime/operators/index.js';
import { checkGradients, checkValues, type OperatorCase } from '../helpers/operator-check.js';
import { layers, meanOf, softmaxOf, varianceOf } from '../helpers/operator-layers.js';
import { broadcast, Plain } from '../helpers/plain-arrays.js';

const unary = (
  title: string,
  f: TensorFunction,
  formula: (x: number) => number,
  range?: readonly [number, number],
): OperatorCase => ({
  title,
  shapes: [[2, 3]],
  f,
  expected: (x) => x!.map(formula),
  ...(range && { range }),
});
const binary = (
  name: string,
  f: TensorFunction,
  formula: (a: number, b: number) => number,
  range?: readonly [number, number],
): OperatorCase => ({
  title: `${name} of shapes that broadcast`,
  shapes: [
    [2, 1, 3],
    [4, 1],
  ],
  f,
  expected: (a, b) => broadcast(a!, b!, formula),
  ...(range && { range }),
});

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
/** Φ by its power series, which is exact to rounding for |x| < 6. */
function normal(x: number): number {
  let term = x;
  let sum = x;
  for (let k = 1; k < 200; k++) {
    term *= (x * x) / (2 * k + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

const elementwise: OperatorCase[] = [
  binary('add', ops.add, (a, b) => a + b),
  binary('sub', ops.sub, (a, b) => a - b),
  binary('mul', ops.mul, (a, b) => a * b),
  binary('div', ops.div, (a, b) => a / b, [0.5, 2]),
  binary('maximum', ops.maximum, Math.max),
  binary('minimum', ops.minimum, Math.min),
  { title: 'add of a number', shapes: [[3]], f: (x) => ops.add(x!, 1.5), expected: (x) => x!.map((v) => v + 1.5) },
  { title: 'sub from a number', shapes: [[3]], f: (x) => ops.sub(1, x!), expected: (x) => x!.map((v) => 1 - v) },
  { title: 'mul by a number', shapes: [[3]], f: (x) => ops.mul(x!, -3), expected: (x) => x!.map((v) => -3 * v) },
  {
    title: 'div of a number',
    shapes: [[3]],
    f: (x) => ops.div(2, x!),
    expected: (x) => x!.map((v) => 2 / v),
    range: [0.5, 2],
  },
  {
    title: 'addcmul',
    shapes: [
      [2, 3],
      [1, 3],
      [2, 1],
    ],
    f: (sum, a, b) => ops.addcmul(sum!, a!, b!),
    expected: (sum, a, b) =>
      broadcast(
        sum!,
        broadcast(a!, b!, (x, y) => x * y),
        (x, y) => x + y,
      ),
  },
  {
    title: 'pow',
    shapes: [[4]],
    f: (x) => ops.pow(x!, 2.5),
    expected: (x) => x!.map((v) => v ** 2.5),
    range: [0.2, 2],
  },
  {
    title: 'clamp',
    shapes: [[9]],
    f: (x) => ops.clamp(x!, -0.7, 1.1),
    expected: (x) => x!.map((v) => Math.min(1.1, Math.max(-0.7, v))),
  },
  unary('neg', ops.neg, (x) => -x),
  unary('abs', ops.abs, Math.abs),
  unary('exp', ops.exp, Math.exp),
  unary('log', ops.log, Math.log, [0.3, 3]),
  unary('sqrt', ops.sqrt, Math.sqrt, [0.3, 3]),
  unary('rsqrt', ops.rsqrt, (x) => 1 / Math.sqrt(x), [0.3, 3]),
  unary('square', ops.square, (x) => x * x),
  unary('sin', ops.sin, Math.sin),
  unary('cos', ops.cos, Math.cos),
  unary('tanh', ops.tanh, Math.tanh),
  unary('sigmoid', ops.sigmoid, sigmoid),
  unary('relu', ops.relu, (x) => Math.max(x, 0)),
  unary('silu', ops.silu, (x) => x * sigmoid(x)),
  unary('softplus', ops.softplus, (x) => Math.log1p(Math.exp(x))),
  unary(
    'gelu',
    (x) => ops.gelu(x!),
    (x) => x * normal(x),
  ),
  {
    title: 'gelu by a hyperbolic tangent',
    shapes: [[5]],
    f: (x) => ops.gelu(x!, 'tanh'),
    expected: (x) => x!.map((v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))),
  },
  { title: 'cast to the same type', shapes: [[3]], f: (x) => ops.cast(x!, 'float64'), expected: (x) => x! },
];

const shapes: OperatorCase[] = [
  { title: 'reshape', shapes: [[2, 6]], f: (x) => ops.reshape(x!, [3, -1]), expected: (x) => x!.as([3, 4]) },
  {
    title: 'permute',
    shapes: [[2, 3, 4]],
    f: (x) => ops.permute(x!, [2, 0, 1]),
    expected: (x) => Plain.of([4, 2, 3], (i, j, k) => x!.at(j!, k!, i!)),
  },
  {
    title: 'transpose',
    shapes: [[2, 3, 4]],
    f: (x) => ops.transpose(x!, 0, -1),
    expected: (x) => Plain.of([4, 3, 2], (i, j, k) => x!.at(k!, j!, i!)),
  },
  { title: 'flatten', shapes: [[2, 3, 2]], f: (x) => ops.flatten(x!), expected: (x) => x!.as([2, 6]) },
  {
    title: 'flatten of two dimensions',
    shapes: [[2, 3, 2]],
    f: (x) => ops.flatten(x!, 0, 1),
    expected: (x) => x!.as([6, 2]),
  },
  { title: 'unsqueeze', shapes: [[2, 3]], f: (x) => ops.unsqueeze(x!, 1), expected: (x) => x!.as([2, 1, 3]) },
  { title: 'squeeze', shapes: [[2, 1, 3]], f: (x) => ops.squeeze(x!, -2), expected: (x) => x!.as([2, 3]) },
  {
    title: 'expand',
    shapes: [[2, 1]],
    f: (x) => ops.expand(x!, [3, -1, 4]),
    expected: (x) => Plain.of([3, 2, 4], (_, j) => x!.at(j!, 0)),
  },
  {
    title: 'slice',
    shapes: [[2, 5]],
    f: (x) => ops.slice(x!, 1, 1, 4),
    expected: (x) => Plain.of([2, 3], (i, j) => x!.at(i!, j! + 1)),
  },
  {
    title: 'chunk',
    shapes: [[2, 6]],
    f: (x) => ops.chunk(x!, 3, -1)[1]!,
    expected: (x) => Plain.of([2, 2], (i, j) => x!.at(i!, j! + 2)),
  },
  {
    title: 'cat',
    shapes: [
      [2, 2],
      [2, 3],
    ],
    f: (a, b) => ops.cat([a!, b!], 1),
    expected: (a, b) => Plain.of([2, 5], (i, j) => (j! < 2 ? a!.at(i!, j!) : b!.at(i!, j! - 2))),
  },
  {
    title: 'stack',
    shapes: [
      [2, 3],
      [2, 3],
    ],
    f: (a, b) => ops.stack([a!, b!], 1),
    expected: (a, b) => Plain.of([2, 2, 3], (i, part, j) => (part === 0 ? a! : b!).at(i!, j!)),
  },
];

const overRows = (x: Plain, reduce: (row: number[]) => number): Plain =>
  Plain.of([x.shape[0]!], (i) => reduce(Array.from({ length: x.shape[1]! }, (_, j) => x.at(i!, j))));
const reduction = (name: string, f: typeof ops.sum, reduce: (row: number[]) => number): OperatorCase[] => [
  {
    title: `${name} of all`,
    shapes: [[2, 3]],
    f: (x) => f(x!),
    expected: (x) => Plain.of([], () => reduce([...x!.data])),
  },
  {
    title: `${name} over a dimension`,
    shapes: [[3, 4]],
    f: (x) => f(x!, { dims: [-1] }),
    expected: (x) => overRows(x!, reduce),
  },
  {
    title: `${name} over two dimensions that stay`,
    shapes: [[2, 3, 2]],
    f: (x) => f(x!, { dims: [1, 2], keep: true }),
    expected: (x) => overRows(x!.as([2, 6]), reduce).as([2, 1, 1]),
  },
];

const reductions: OperatorCase[] = [
  ...reduction('sum', ops.sum, (row) => row.reduce((a, b) => a + b)),
  ...reduction('mean', ops.mean, meanOf),
  ...reduction('variance', ops.variance, varianceOf),
  ...reduction('max', ops.max, (row) => Math.max(...row)),
  ...reduction('min', ops.min, (row) => Math.min(...row)),
  {
    title: 'softmax',
    shapes: [[2, 4]],
    f: (x) => ops.softmax(x!, -1),
    expected: (x) => Plain.of([2, 4], (i, j) => softmaxOf([0, 1, 2, 3].map((k) => x!.at(i!, k)))[j!]!),
  },
  {
    title: 'logSoftmax',
    shapes: [[4, 2]],
    f: (x) => ops.logSoftmax(x!, 0),
    expected: (x) => Plain.of([4, 2], (i, j) => Math.log(softmaxOf([0, 1, 2, 3].map((k) => x!.at(k, j!)))[i!]!)),
  },
];

const rows = [...elementwise, ...shapes, ...reductions, ...layers];

describe('the operators', () => {
  it.each(rows)('$title computes its formula', checkValues);
  it.each(rows)('$title has the gradients of its values', checkGradients);

  it('are all tested here, and all native ones have a function', () => {
    const tested = new Set(rows.map(({ title }) => title.split(' ')[0]!));
    const functions = Object.keys(ops);
    expect(functions.filter((name) => !tested.has(name))).toEqual([]);
    expect(functions.filter((name) => name !== 'chunk').sort()).toEqual([...binding().operatorNames()].sort());
  });
});
