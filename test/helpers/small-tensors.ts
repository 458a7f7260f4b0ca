/**
 * Programs that make `count` small tensors each, in every way that a tensor comes and goes; `sleep`, `Tensor` and
 * `renoise` are in their scope.
 */
export const smallTensorRounds = (count: number) => [
  { what: 'disposed', round: `for (let i = 0; i < ${count}; ++i) Tensor.from(new Float32Array(4), [4]).dispose();` },
  {
    what: 'left to the garbage collector',
    round: `for (let i = 0; i < ${count}; ++i) {
      Tensor.from([1, 2, 3, 4], [2, 2]);
      if (i % ${count / 50} === 0) await sleep(0);
    }`,
  },
  {
    what: 'made by kernels',
    round: `const x1 = Tensor.from([1, 2], [1, 2]);
      const noise = { seed: 1n, stream: 1n };
      for (let i = 0; i < ${count}; ++i) (await renoise({ x1, t: [0.5], noise })).dispose();`,
  },
  {
    what: 'that failed',
    round: `for (let i = 0; i < ${count}; ++i) {
      const noise = { seed: 1n, stream: 1n };
      await renoise({ x1: Tensor.from([1], [1]), t: [2], noise }).catch(() => {});
    }`,
  },
];
