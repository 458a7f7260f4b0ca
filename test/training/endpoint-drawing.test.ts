// Endpoints are drawn and scored in batches. What happens beside what is told by gates: a reward that holds its answer
// back until the algorithm was asked for the next batch.
import { EventEmitter, once } from 'node:events';

import { expect, it } from 'vitest';

import type { Model } from '../../lib/models/model.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import { hasGradient, type Reward } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import type { NativeAlgorithm, NativeTensor } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { drawEndpoints } from '../../lib/training/endpoint-drawing.js';
import { floats, labels, tinyLora, tinyModel } from '../helpers/tiny-model.js';

/** What draws, how many rollouts began, and how many samples are in memory. */
async function drawing(reward: (begun: (count: number) => Promise<void>) => Reward, signal?: AbortSignal) {
  const native = new (binding().Eam)(await tinyModel(tinyLora), { steps: 2, endpoints: 'pretrained' });
  const events = new EventEmitter();
  const steps: number[] = [];
  let alive = 0;
  // drawEndpoints asks for rollouts and for nothing else.
  const algorithm = {
    async rollout(args: Parameters<NativeAlgorithm['rollout']>[0]) {
      steps.push(args.step);
      events.emit('rollout');
      const samples = await native.rollout(args);
      alive++;
      const dispose = () => {
        alive--;
        samples.dispose();
      };
      return {
        endpoint: samples.endpoint,
        slice: samples.slice,
        forwards: samples.forwards,
        decode: (args: Parameters<typeof samples.decode>[0]) => samples.decode(args),
        carry: (grad: NativeTensor) => samples.carry(grad),
        dispose,
      };
    },
  } as NativeAlgorithm;
  const begun = async (count: number) => {
    while (steps.length < count) await once(events, 'rollout');
  };
  const scored = reward(begun);
  const options = {
    model: { latentShape: [1, 8, 8] } as unknown as Model,
    reward: scored,
    gradient: hasGradient(scored),
    algorithm,
    prompts: ['0', '1'],
    perPrompt: 5,
    batch: 4,
    seed: 3n,
    encode: async (prompts: readonly string[]) => ({
      conditioning: labels(...prompts.map(Number)),
      [Symbol.dispose]: () => {},
    }),
  };
  return { drawn: drawEndpoints(options, 0, signal), steps, alive: () => alive };
}

/** Scores a sample by its prompt, once `wait` lets it. */
function votes(wait: (call: number) => Promise<void>): Reward {
  let call = 0;
  const score = async (_: unknown, prompts: readonly string[]) => {
    await wait(call++);
    return { values: prompts.map(Number) };
  };
  return fromFunction('votes', score, { differentiable: false });
}

it('drawEndpoints draws the next batch while a reward of values alone scores', async () => {
  // Were a batch drawn after the one before is scored, this would wait for ever.
  const { drawn, steps, alive } = await drawing((begun) => votes((call) => begun(Math.min(call + 2, 3))));
  const rows: number[][] = [];
  for await (const { first, scored } of drawn) rows.push([first, ...scored.values]);
  expect(rows).toEqual([
    [0, 0, 0, 0, 0],
    [4, 0, 1, 1, 1],
    [8, 1, 1],
  ]);
  expect([steps, alive()]).toEqual([[0, 1, 2], 0]);
});

it('drawEndpoints draws the same ahead as one after the other', async () => {
  const endpointsOf = async (reward: Reward) => {
    const { drawn } = await drawing(() => reward);
    const endpoints: number[] = [];
    for await (const { samples } of drawn) endpoints.push(...(await floats(samples.endpoint)));
    return endpoints;
  };
  const ahead = await endpointsOf(votes(async () => {}));
  expect(ahead).toHaveLength(10 * 64);
  expect(ahead).toEqual(await endpointsOf(strokeWeight()));
});

it('drawEndpoints holds one batch at a time where the reward has a gradient', async () => {
  const { drawn, steps, alive } = await drawing(() => strokeWeight());
  const seen: number[][] = [];
  for await (const { first } of drawn) seen.push([first, steps.length, alive()]);
  expect(seen).toEqual([
    [0, 1, 1],
    [4, 2, 1],
    [8, 3, 1],
  ]);
});

it.each([
  { what: 'fails', stop: 'fail' },
  { what: 'is left behind by an abort', stop: 'abort' },
] as const)('drawEndpoints frees the batch that it drew ahead where the reward $what', async ({ stop }) => {
  const controller = new AbortController();
  const reward = (begun: (count: number) => Promise<void>) =>
    votes(async () => {
      await begun(2);
      if (stop === 'fail') throw new Error('no votes');
      controller.abort(new Error('enough'));
      await new Promise(() => {});
    });
  const { drawn, alive } = await drawing(reward, controller.signal);
  await expect(drawn.next()).rejects.toThrow(stop === 'fail' ? 'no votes' : 'enough');
  expect(alive()).toBe(0);
});

it('drawEndpoints frees the batch that it drew ahead where its caller leaves the loop', async () => {
  const { drawn, steps, alive } = await drawing((begun) => votes(() => begun(2)));
  for await (const { first } of drawn) {
    expect(first).toBe(0);
    break;
  }
  expect([steps, alive()]).toEqual([[0, 1], 0]);
});
