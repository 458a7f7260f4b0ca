// Under Node, @tensorflow/tfjs-core leaves gradients to the large @tensorflow/tfjs, which registers all of them. These
// are the four that a small network needs; with @tensorflow/tfjs this file is not.

import * as tf from '@tensorflow/tfjs-core';

const tensors = (saved: tf.NamedTensorMap | tf.Tensor[]) => saved as tf.Tensor[];
const upstreamOf = (dy: tf.Tensor | tf.Tensor[]) => dy as tf.Tensor;

/** Of a bias that was added to every row. */
const reduced = (gradient: tf.Tensor, shape: number[]) =>
  gradient.rank > shape.length ? tf.sum(gradient, 0) : gradient;

tf.registerGradient({
  kernelName: tf.BatchMatMul,
  inputsToSave: ['a', 'b'],
  gradFunc: (dy, saved) => {
    const [a, b] = tensors(saved);
    return { a: () => tf.matMul(upstreamOf(dy), b!, false, true), b: () => tf.matMul(a!, upstreamOf(dy), true, false) };
  },
});
tf.registerGradient({
  kernelName: tf.Add,
  inputsToSave: ['a', 'b'],
  gradFunc: (dy, saved) => {
    const [a, b] = tensors(saved);
    return { a: () => reduced(upstreamOf(dy), a!.shape), b: () => reduced(upstreamOf(dy), b!.shape) };
  },
});
tf.registerGradient({
  kernelName: tf.Multiply,
  inputsToSave: ['a', 'b'],
  gradFunc: (dy, saved) => {
    const [a, b] = tensors(saved);
    return { a: () => tf.mul(upstreamOf(dy), b!), b: () => tf.mul(upstreamOf(dy), a!) };
  },
});
tf.registerGradient({
  kernelName: tf.Sigmoid,
  outputsToSave: [true],
  gradFunc: (dy, saved) => {
    const [sigmoid] = tensors(saved);
    return { x: () => tf.mul(upstreamOf(dy), tf.mul(sigmoid!, tf.sub(1, sigmoid!))) };
  },
});
