// An operator against a plain formula in float64, and its gradients against central differences of its own values.
import { expect } from 'vitest';

import { compute, gradients, type TensorFunction } from '../../lib/runtime/compute.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf } from './numbers.js';
import { Plain } from './plain-arrays.js';

/** A case of an operator. */
export interface OperatorCase {
  /** The operator, and what is special of the case. */
  title: string;
  /** Shapes of the inputs; a number stands for one dimension. */
  shapes: readonly (readonly number[])[];
  f: TensorFunction;
  expected: (...inputs: Plain[]) => Plain;
  /** The lowest and the highest number of the inputs; default −2 and 2. */
  range?: readonly [number, number];
}

/** Numbers that are far from each other and from where a derivative jumps. */
function inputsOf({ shapes, range: [low, high] = [-2, 2] }: OperatorCase): Plain[] {
  let count = 0;
  return shapes.map((shape) =>
    Plain.of(shape, () => low + (high - low) * ((0.071 + 0.6180339887498949 * ++count) % 1)),
  );
}

const tensorOf = ({ shape, data }: Plain): Tensor => Tensor.from(data, shape);

const upstreamNumbers = (length: number): number[] => Array.from({ length }, (_, i) => 0.3 + ((i * 0.377) % 1));

async function upstreamOf(row: OperatorCase, inputs: Plain[]): Promise<Tensor> {
  const { shape } = row.expected(...inputs);
  const length = shape.reduce((product, size) => product * size, 1);
  return Tensor.from(Float64Array.from(upstreamNumbers(length)), shape);
}

/** The operator computes what the formula does. */
export async function checkValues(row: OperatorCase): Promise<void> {
  const inputs = inputsOf(row);
  const found = await compute(row.f, inputs.map(tensorOf));
  const expected = row.expected(...inputs);
  expect(found.shape).toEqual(expected.shape);
  expectClose(await numbersOf(found), [...expected.data], 1e-12);
}

/** The operator's gradients are the slopes of its values. */
export async function checkGradients(row: OperatorCase): Promise<void> {
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
        return loss(inputs.map((other) => (other === input ? new Plain(input.shape, data) : other)));
      };
      slopes.push(((await moved(1e-5)) - (await moved(-1e-5))) / 2e-5);
    }
    expect(found[which]!.shape).toEqual(input.shape);
    expectClose(await numbersOf(found[which]!), slopes, 1e-8, `with respect to input ${which}`);
  }
}
