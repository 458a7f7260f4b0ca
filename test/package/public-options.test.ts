// What a program may hand to the public functions is checked as a configuration is: a key that is misspelt, a number in
// quotes, what is missing.
import { beforeAll, describe, expect, it } from 'vitest';

import * as api from '../../lib/index.js';

type Loose = Record<string, unknown>;
/** The package as JavaScript sees it. */
// biome-ignore lint/suspicious/noExplicitAny: types are what is left out here
const js = api as any;

let model: api.Model;
beforeAll(async () => {
  model = await api.loadModel('digits', { adapter: { rank: 2, alpha: 4 } });
});

const trainer = (change: Loose = {}) =>
  new js.Trainer({
    model,
    reward: api.strokeWeight(),
    prompts: ['1'],
    algorithm: api.eam(),
    optimizer: { learningRate: 1e-3 },
    batch: 2,
    ...change,
  });
const drawing = (change: Loose) => ({ prompts: ['1'], seed: 1n, steps: 1, ...change });
const measuring = (change: Loose) => ({ ...drawing({ count: 2, reward: api.strokeWeight() }), ...change });
const tensor = () => api.Tensor.from(new Float32Array(8), [2, 4]);
const solver = () => new api.OdeSolver({ solver: 'euler', times: [0, 1] });

/** Resolves with the message of the ConfigError that a call throws or rejects with. */
async function refusal(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(api.ConfigError);
    return (error as Error).message;
  }
  return 'it was accepted';
}

describe('an unknown key', () => {
  it.each([
    { of: 'Trainer', call: () => trainer({ bacth: 2 }), meant: 'batch' },
    { of: 'Trainer.checkpoints', call: () => trainer({ checkpoints: { directory: 'x', evry: 1 } }), meant: 'every' },
    {
      of: 'Trainer.optimizer',
      call: () => trainer({ optimizer: { learningRate: 1, emaDeacy: 0 } }),
      meant: 'emaDecay',
    },
    { of: 'Trainer.nonFinite', call: () => trainer({ nonFinite: { patienc: 2 } }), meant: 'patience' },
    { of: 'Trainer.run', call: () => trainer().run({ steps: 1, sginal: 1 }).next(), meant: 'signal' },
    { of: 'Trainer.prepare', call: () => trainer().prepare({ onEndpoints: () => {} }), meant: 'onEndpoint' },
    { of: 'Trainer.resume', call: () => trainer().resume('x', { alow: [] }), meant: 'allow' },
    { of: 'Trainer.sample', call: () => trainer().sample(drawing({ guidanc: 2 })), meant: 'guidance' },
    { of: 'sampleImages', call: () => js.sampleImages(model, drawing({ step: 2 })), meant: 'steps' },
    { of: 'sampleBatches', call: () => js.sampleBatches(model, drawing({ bach: 2 })).next(), meant: 'batch' },
    { of: 'evaluate', call: () => js.evaluate(model, measuring({ cout: 2 })), meant: 'count' },
    { of: 'loadModel', call: () => js.loadModel('digits', { devce: 'cpu' }), meant: 'device' },
    {
      of: 'loadModel.adapter',
      call: () => js.loadModel('digits', { adapter: { rank: 2, alpha: 4, target: [] } }),
      meant: 'targets',
    },
    { of: 'eam', call: () => js.eam({ lamda: 1 }), meant: 'lambda' },
    { of: 'adjointMatching', call: () => js.adjointMatching({ step: 1 }), meant: 'steps' },
    { of: 'refl', call: () => js.refl({ finalFracton: 1 }), meant: 'finalFraction' },
    { of: 'draft', call: () => js.draft({ lastStep: 1 }), meant: 'lastSteps' },
    { of: 'alignProp', call: () => js.alignProp({ fewestStep: 1 }), meant: 'fewestSteps' },
    { of: 'strokeWeight', call: () => js.strokeWeight({ scal: 1 }), meant: 'scale' },
    { of: 'quadratic', call: () => js.quadratic({ linear: [1], centre: [1] }), meant: 'center' },
    { of: 'digitClassifier', call: () => js.digitClassifier({ directry: 'x' }), meant: 'directory' },
    { of: 'digitJudge', call: () => js.digitJudge({ devise: 'cpu' }), meant: 'device' },
    { of: 'pickScore', call: () => js.pickScore('x', { dtyp: 'float32' }), meant: 'dtype' },
    { of: 'clipScore', call: () => js.clipScore('x', { slise: 1 }), meant: 'slice' },
    { of: 'hpsv2', call: () => js.hpsv2('x', { tokeniser: 'x' }), meant: 'tokenizer' },
    { of: 'imageReward', call: () => js.imageReward('x', { tokeniser: 'x' }), meant: 'tokenizer' },
    { of: 'aesthetic', call: () => js.aesthetic('x', { towr: 'x' }), meant: 'tower' },
    { of: 'torchScript', call: () => js.torchScript('x', { encodePrompt: () => [] }), meant: 'encodePrompts' },
    {
      of: 'fromFunction',
      call: () => js.fromFunction('x', () => 0, { diferentiable: false }),
      meant: 'differentiable',
    },
    { of: 'moduleReward', call: () => js.moduleReward('x', {}, { diferentiable: false }), meant: 'differentiable' },
    { of: 'httpReward', call: () => js.httpReward({ url: 'http://h/', bach: 1 }), meant: 'batch' },
    {
      of: 'httpReward.cache',
      call: () => js.httpReward({ url: 'http://h/', cache: { entires: 1 } }),
      meant: 'entries',
    },
    { of: 'openaiReward', call: () => js.openaiReward({ model: 'm', qestion: '?' }), meant: 'question' },
    { of: 'finetune', call: () => js.finetune({}, { resum: true }), meant: 'resume' },
    { of: 'pretrain', call: () => js.pretrain({}, { signl: 1 }), meant: 'signal' },
    { of: 'distill', call: () => js.distill({}, { resum: true }), meant: 'resume' },
    { of: 'compare', call: () => js.compare({}, { obsrver: 1 }), meant: 'observer' },
    { of: 'plan', call: () => js.plan({}, { lke: 'x' }), meant: 'like' },
    { of: 'fidelity', call: () => js.fidelity({ problem: {}, settings: {}, observr: 1 }), meant: 'observer' },
    { of: 'verify', call: () => js.verify('x', { tolerence: 1 }).next(), meant: 'tolerance' },
    { of: 'mergeAdapter', call: () => js.mergeAdapter({ adapter: 'x', out: 'y', modle: 'z' }), meant: 'model' },
    { of: 'convert', call: () => js.convert('x', 'y.safetensors', { forse: true }), meant: 'force' },
    { of: 'OdeSolver', call: () => new js.OdeSolver({ solver: 'euler', times: [0, 1], tmes: 1 }), meant: 'times' },
    {
      of: 'OdeSolver.run',
      call: () => js.OdeSolver.prototype.run.call(solver(), () => tensor(), tensor(), { guidence: 2 }),
      meant: 'guidance',
    },
    {
      of: 'OdeSolver.runSync',
      call: () => js.OdeSolver.prototype.runSync.call(solver(), () => tensor(), tensor(), { guidence: 2 }),
      meant: 'guidance',
    },
    {
      of: 'renoise',
      call: () => js.renoise({ x1: tensor(), t: [0, 0], noise: { seed: 1n, strem: 0n } }),
      meant: 'stream',
    },
    { of: 'Tensor.from', call: () => js.Tensor.from([1], [1], { dtyp: 'float32' }), meant: 'dtype' },
  ])('is refused by $of, with the one that was meant', async ({ call, meant }) => {
    expect(await refusal(call)).toContain(`unknown key; did you mean "${meant}"?`);
  });
});

describe('a value of another type, or none,', () => {
  it.each([
    { of: 'Trainer', call: () => new js.Trainer(), says: /trainer options: .*expected an object/ },
    { of: 'Trainer', call: () => trainer({ batch: '2' }), says: /batch: expected a number, got "2"/ },
    { of: 'Trainer', call: () => trainer({ seed: '7' }), says: /seed: expected a bigint, got "7"/ },
    { of: 'Trainer', call: () => trainer({ seed: 1.5 }), says: /seed: expected a bigint, got 1.5/ },
    { of: 'Trainer', call: () => trainer({ seed: -1 }), says: /seed: expected a number of at least 0, got -1/ },
    { of: 'Trainer', call: () => trainer({ model: undefined }), says: /model: expected a model.*but it is missing/ },
    { of: 'Trainer', call: () => trainer({ model: 'digits' }), says: /model: expected a model.*got "digits"/ },
    { of: 'Trainer', call: () => trainer({ reward: [api.strokeWeight()] }), says: /reward: expected a reward/ },
    { of: 'Trainer', call: () => trainer({ algorithm: { name: 'eam' } }), says: /algorithm: expected an algorithm/ },
    { of: 'Trainer', call: () => trainer({ negativePrompt: 1 }), says: /negativePrompt: expected a string, got 1/ },
    { of: 'Trainer', call: () => trainer({ optimizer: {} }), says: /optimizer.learningRate: .*missing/ },
    { of: 'run', call: () => trainer().run().next(), says: /run options: .*expected an object/ },
    { of: 'run', call: () => trainer().run({}).next(), says: /steps: expected a number, but it is missing/ },
    { of: 'run', call: () => trainer().run({ steps: '2' }).next(), says: /steps: expected a number, got "2"/ },
    { of: 'run', call: () => trainer().run({ steps: 1, signal: 'x' }).next(), says: /signal: expected an AbortSignal/ },
    { of: 'resume', call: () => trainer().resume(), says: /resume: directory: expected a string/ },
    {
      of: 'resume',
      call: () => trainer().resume('x', { allow: ['modle'] }),
      says: /allow\[0\]: expected one of "model"/,
    },
    { of: 'sampleImages', call: () => js.sampleImages(model), says: /options: expected an object, but it is missing/ },
    { of: 'sampleImages', call: () => js.sampleImages('digits', drawing({})), says: /model: expected a model/ },
    {
      of: 'sampleImages',
      call: () => js.sampleImages(model, drawing({ seed: 1 })),
      says: /seed: expected a bigint, got 1/,
    },
    { of: 'sampleImages', call: () => js.sampleImages(model, drawing({ steps: '1' })), says: /steps: .*got "1"/ },
    {
      of: 'sampleImages',
      call: () => js.sampleImages(model, drawing({ solver: 'rk4' })),
      says: /solver: expected one of/,
    },
    { of: 'evaluate', call: () => js.evaluate(model), says: /options: expected an object/ },
    {
      of: 'evaluate',
      call: () => js.evaluate(model, measuring({ count: '2' })),
      says: /count: expected a number, got "2"/,
    },
    { of: 'evaluate', call: () => js.evaluate(model, measuring({ count: 0 })), says: /count: .*at least 1, got 0/ },
    {
      of: 'evaluate',
      call: () => js.evaluate(model, measuring({ reward: undefined })),
      says: /reward: expected a reward/,
    },
    { of: 'evaluate', call: () => js.evaluate(model, measuring({ judge: {} })), says: /judge: expected a judge/ },
    { of: 'loadModel', call: () => js.loadModel(), says: /loadModel: source: expected a string/ },
    { of: 'loadModel', call: () => js.loadModel('digits', null), says: /expected an object, got null/ },
    {
      of: 'loadModel',
      call: () => js.loadModel('digits', { adapter: { rank: '2', alpha: 4 } }),
      says: /adapter.rank: .*got "2"/,
    },
    { of: 'loadModel', call: () => js.loadModel('digits', { adapter: { rank: 2 } }), says: /adapter.alpha: .*missing/ },
    { of: 'loadModel', call: () => js.loadModel('digits', { seed: 1 }), says: /seed: expected a bigint, got 1/ },
    { of: 'combine', call: () => js.combine(), says: /expected a list of \[reward, weight\], got undefined/ },
    { of: 'combine', call: () => js.combine([api.strokeWeight()]), says: /combine\[0\]: expected \[reward, weight\]/ },
    { of: 'combine', call: () => js.combine([[{}, 1]]), says: /combine\[0\]: expected \[reward, weight\]/ },
    {
      of: 'combine',
      call: () => js.combine([[api.strokeWeight(), '1']]),
      says: /weight of .*expected a finite number, got "1"/,
    },
    {
      of: 'fromFunction',
      call: () => js.fromFunction(() => 0),
      says: /fromFunction: name: expected a string, got a function/,
    },
    {
      of: 'fromFunction',
      call: () => js.fromFunction('x', () => 0, { differentiable: 'no' }),
      says: /differentiable: expected a boolean, got "no"/,
    },
    {
      of: 'Trainer.prepare',
      call: () => trainer().prepare({ onNote: 'x' }),
      says: /prepare options: onNote: expected a function, got "x"/,
    },
    { of: 'fromFunction', call: () => js.fromFunction('x'), says: /score: expected a function, got undefined/ },
    { of: 'pickScore', call: () => js.pickScore(), says: /pickScore: directory: expected a string/ },
    { of: 'pickScore', call: () => js.pickScore('x', { slice: '2' }), says: /slice: expected a number, got "2"/ },
    { of: 'moduleReward', call: () => js.moduleReward(), says: /moduleReward: file: expected a string/ },
    {
      of: 'exportAdapter',
      call: () => js.exportAdapter('x', 'y', 'pefft'),
      says: /layout: expected one of "peft", "diffusers"/,
    },
    { of: 'fidelity', call: () => js.fidelity(), says: /expected an object/ },
    { of: 'fidelity', call: () => js.fidelity({ problem: 1, settings: {} }), says: /problem: expected a problem/ },
    { of: 'OdeSolver', call: () => new js.OdeSolver(), says: /expected an object/ },
    { of: 'encodeGrid', call: () => js.encodeGrid(tensor(), 1, { step: 1 }), says: /step: expected a string, got 1/ },
  ])('is refused by $of: $says', async ({ call, says }) => expect(await refusal(call)).toMatch(says));
});
