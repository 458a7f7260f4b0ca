// Every operator against a plain formula in float64, and its gradients against central differences of its own values.
import { describe, expect, it } from 'vitest';

import { compute, gradients, type TensorFunction } from '../../lib/runtime/compute.js';
import { binding } from '../../lib/runtime/native/index.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import * as ops from '../../lib/runtime/operators/index.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';
import { broadcast, Plain, total } from '../helpers/plain-arrays.js';

interface Row {
  /** The operator, and what is special of the case. */
  title: string;
  /** Shapes of the inputs; a number stands for one dimension. */
  shapes: readonly (readonly number[])[];
  f: TensorFunction;
  expected: (...inputs: Plain[]) => Plain;
  /** The lowest and the highest number of the inputs; default −2 and 2. */
  range?: readonly [number, number];
}

const unary = (name: 'neg', formula: (x: number) => number, range?: readonly [number, number]): Row => ({
  title: name,
  shapes: [[2, 3]],
  f: (x) => ops[name](x!),
  expected: (x) => x!.map(formula),
  ...(range && { range }),
});
const binary = (name: 'add', formula: (a: number, b: number) => number, range?: readonly [number, number]): Row => ({
  title: `${name} of shapes that broadcast`,
  shapes: [
    [2, 1, 3],
    [4, 1],
  ],
  f: (a, b) => ops[name](a!, b!),
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

const softmaxOf = (values: readonly number[]): number[] => {
  const exps = values.map(Math.exp);
  const norm = exps.reduce((a, b) => a + b);
  return exps.map((value) => value / norm);
};

const elementwise: Row[] = [
  binary('add', (a, b) => a + b),
  binary('sub' as 'add', (a, b) => a - b),
  binary('mul' as 'add', (a, b) => a * b),
  binary('div' as 'add', (a, b) => a / b, [0.5, 2]),
  binary('maximum' as 'add', Math.max),
  binary('minimum' as 'add', Math.min),
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
  { title: 'pow', shapes: [[4]], f: (x) => ops.pow(x!, 2.5), expected: (x) => x!.map((v) => v ** 2.5), range: [0.2, 2] },
  {
    title: 'clamp',
    shapes: [[9]],
    f: (x) => ops.clamp(x!, -0.7, 1.1),
    expected: (x) => x!.map((v) => Math.min(1.1, Math.max(-0.7, v))),
  },
  unary('neg', (x) => -x),
  unary('abs' as 'neg', Math.abs),
  unary('exp' as 'neg', Math.exp),
  unary('log' as 'neg', Math.log, [0.3, 3]),
  unary('sqrt' as 'neg', Math.sqrt, [0.3, 3]),
  unary('rsqrt' as 'neg', (x) => 1 / Math.sqrt(x), [0.3, 3]),
  unary('square' as 'neg', (x) => x * x),
  unary('sin' as 'neg', Math.sin),
  unary('cos' as 'neg', Math.cos),
  unary('tanh' as 'neg', Math.tanh),
  unary('sigmoid' as 'neg', sigmoid),
  unary('relu' as 'neg', (x) => Math.max(x, 0)),
  unary('silu' as 'neg', (x) => x * sigmoid(x)),
  unary('softplus' as 'neg', (x) => Math.log1p(Math.exp(x))),
  unary('gelu' as 'neg', (x) => x * normal(x)),
  {
    title: 'gelu by a hyperbolic tangent',
    shapes: [[5]],
    f: (x) => ops.gelu(x!, 'tanh'),
    expected: (x) => x!.map((v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))),
  },
  { title: 'cast to the same type', shapes: [[3]], f: (x) => ops.cast(x!, 'float64'), expected: (x) => x! },
];

const shapes: Row[] = [
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
  { title: 'flatten of two dimensions', shapes: [[2, 3, 2]], f: (x) => ops.flatten(x!, 0, 1), expected: (x) => x!.as([6, 2]) },
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
const meanOf = (row: readonly number[]) => row.reduce((a, b) => a + b) / row.length;
const varianceOf = (row: readonly number[]) => meanOf(row.map((v) => (v - meanOf(row)) ** 2));

const reduction = (name: 'sum', reduce: (row: number[]) => number): Row[] => [
  { title: `${name} of all`, shapes: [[2, 3]], f: (x) => ops[name](x!), expected: (x) => Plain.of([], () => reduce([...x!.data])) },
  {
    title: `${name} over a dimension`,
    shapes: [[3, 4]],
    f: (x) => ops[name](x!, { dims: [-1] }),
    expected: (x) => overRows(x!, reduce),
  },
  {
    title: `${name} over two dimensions that stay`,
    shapes: [[2, 3, 2]],
    f: (x) => ops[name](x!, { dims: [1, 2], keep: true }),
    expected: (x) => overRows(x!.as([2, 6]), reduce).as([2, 1, 1]),
  },
];

const reductions: Row[] = [
  ...reduction('sum', (row) => row.reduce((a, b) => a + b)),
  ...reduction('mean' as 'sum', meanOf),
  ...reduction('variance' as 'sum', varianceOf),
  ...reduction('max' as 'sum', (row) => Math.max(...row)),
  ...reduction('min' as 'sum', (row) => Math.min(...row)),
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

/** A number of an image with zeros around it. */
const padded = (x: Plain, b: number, c: number, i: number, j: number): number =>
  i < 0 || j < 0 || i >= x.shape[2]! || j >= x.shape[3]! ? 0 : x.at(b, c, i, j);

const layers: Row[] = [
  {
    title: 'matmul of batches',
    shapes: [
      [2, 1, 3, 4],
      [5, 4, 2],
    ],
    f: (a, b) => ops.matmul(a!, b!),
    expected: (a, b) =>
      Plain.of([2, 5, 3, 2], (n, m, i, j) => total(4, (k) => a!.at(n!, 0, i!, k) * b!.at(m!, k, j!))),
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
      Plain.of([1, 2, 2, 2], (n, c, i, j) => total(2, (u) => total(3, (v) => x!.at(n!, c!, 2 * i! + u, 3 * j! + v))) / 6),
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
        return (
          ((x!.at(i!, j!) - meanOf(row)) / Math.sqrt(varianceOf(row) + 1e-3)) * weight!.at(j!) + bias!.at(j!)
        );
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

const rows = [...elementwise, ...shapes, ...reductions, ...layers];

/** Numbers that are far from each other and from where a derivative jumps. */
function inputsOf({ shapes, range: [low, high] = [-2, 2] }: Row): Plain[] {
  let count = 0;
  return shapes.map((shape) =>
    Plain.of(shape, () => low + (high - low) * ((0.071 + 0.6180339887498949 * ++count) % 1)),
  );
}

const tensorOf = ({ shape, data }: Plain): Tensor => Tensor.from(data, shape);

describe('the operators', () => {
  it.each(rows)('$title computes its formula', async (row) => {
    const inputs = inputsOf(row);
    const found = await compute(row.f, inputs.map(tensorOf));
    const expected = row.expected(...inputs);
    expect(found.shape).toEqual(expected.shape);
    expectClose(await numbersOf(found), [...expected.data], 1e-12);
  });

  it.each(rows)('$title has the gradients of its values', async (row) => {
    const inputs = inputsOf(row);
    const { value, gradients: found } = await gradients(row.f, inputs.map(tensorOf), await upstreamOf(row, inputs));
    const upstream = upstreamNumbers((await numbersOf(value)).length);
    const loss = async (changed: Plain[]) => {
      const numbers = await numbersOf(await compute(row.f, changed.map(tensorOf)));
      return numbers.reduce((sum, number, i) => sum + number * upstream[i]!, 0);
    };
    for (const [which, input] of inputs.entries()) {
      const slopes: number[] = [];
      for (let i = 0; i < input.data.length; i++) {
        const moved = async (distance: number) => {
          const data = input.data.slice();
          data[i]! += distance;
          return loss(inputs.with(which, new Plain(input.shape, data)));
        };
        slopes.push(((await moved(1e-5)) - (await moved(-1e-5))) / 2e-5);
      }
      expect(found[which]!.shape).toEqual(input.shape);
      expectClose(await numbersOf(found[which]!), slopes, 1e-8, `with respect to input ${which}`);
    }
  });

  it('are all tested here, and all native ones have a function', () => {
    const tested = new Set(rows.map(({ title }) => title.split(' ')[0]!));
    const functions = Object.keys(ops);
    expect(functions.filter((name) => !tested.has(name))).toEqual([]);
    expect(functions.filter((name) => name !== 'chunk').sort()).toEqual([...binding().operatorNames()].sort());
  });
});

const upstreamNumbers = (length: number): number[] => Array.from({ length }, (_, i) => 0.3 + ((i * 0.377) % 1));

async function upstreamOf(row: Row, inputs: Plain[]): Promise<Tensor> {
  const { shape } = row.expected(...inputs);
  const length = shape.reduce((product, size) => product * size, 1);
  return Tensor.from(Float64Array.from(upstreamNumbers(length)), shape);
}
