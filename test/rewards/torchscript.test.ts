// Rewards in TorchScript: values and gradients against closed forms and PyTorch, and modules of another kind.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { createRewards } from '../../lib/rewards/registry.js';
import { score } from '../../lib/rewards/reward.js';
import { torchScript, type TorchScriptOptions } from '../../lib/rewards/torchscript.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';
import { forward, writeTorchScript } from '../helpers/torchscript.js';
import { failure, fixture, folder, images, pixels, quadratic } from '../helpers/torchscript-reward.js';

let files = 0;
const script = (methods: string): string => writeTorchScript(join(folder, `script-${++files}.pt`), methods);

const prompts = ['2', '0', '1'];
const of = (image: number, f: (x: number) => number) => Array.from(pixels.slice(16 * image, 16 * image + 16), f);
const mean = (numbers: number[]) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
const graded = async (path: string, options: TorchScriptOptions = {}) =>
  (await torchScript(path, options)).score(images(), prompts, { gradient: true });

const quadraticValues = (weight: number) => [0, 1, 2].map((image) => -weight * mean(of(image, (x) => (x - 0.3) ** 2)));
const quadraticGrad = (weight: number) => Array.from(pixels, (x) => (-2 * weight * (x - 0.3)) / 16);

describe('a TorchScript reward', () => {
  it('gives the values of its forward and their gradient', async () => {
    const { values, grad } = await graded(script(quadratic(3)));
    expectClose(Array.from(values), quadraticValues(3), 1e-6);
    expect(grad!.shape).toEqual([3, 1, 4, 4]);
    expectClose(await numbersOf(grad!), quadraticGrad(3), 1e-6);
  });

  it('gives no gradient where none is asked for', async () => {
    const scored = await (await torchScript(script(quadratic(1)))).score(images(), prompts);
    expect(scored.grad).toBeUndefined();
    expectClose(Array.from(scored.values), quadraticValues(1), 1e-6);
  });

  it('is accepted with values of shape [B, 1], or of another floating type', async () => {
    const column = forward('images: Tensor', 'torch.unsqueeze(torch.mean(images, [1, 2, 3]), 1)');
    expectClose(
      Array.from((await graded(script(column))).values),
      [0, 1, 2].map((image) => mean(of(image, (x) => x))),
      1e-6,
    );
    const double = forward('images: Tensor', 'torch.mean(torch.to(images, 7), [1, 2, 3])');
    const { grad } = await graded(script(double));
    expect(grad!.dtype).toBe('float32');
    expectClose(
      await numbersOf(grad!),
      Array.from(pixels, () => 1 / 16),
      1e-6,
    );
  });

  it.each(['float64', 'bfloat16'] as const)(
    'sees %s images as float32, and gives the gradient in theirs',
    async (dtype) => {
      const reward = await torchScript(script(quadratic(1)));
      const { values, grad } = await reward.score(images(dtype), prompts, { gradient: true });
      expectClose(Array.from(values), quadraticValues(1), dtype === 'float64' ? 1e-6 : 1e-2);
      expect(grad!.dtype).toBe(dtype);
      expectClose(await numbersOf(grad!), quadraticGrad(1), dtype === 'float64' ? 1e-6 : 1e-2);
    },
  );

  it('agrees with PyTorch for a network with dropout and normalisation, saved while training', async () => {
    const reference = JSON.parse(readFileSync(fixture('conv.json'), 'utf8')) as Record<
      'images' | 'values' | 'grad',
      number[]
    >;
    const batch = Tensor.from(Float32Array.from(reference.images), [2, 1, 4, 4]);
    for (const name of ['conv.pt', 'from-cuda.pt']) {
      const reward = await torchScript(fixture(name));
      const { values, grad } = await reward.score(batch, ['', ''], { gradient: true });
      expectClose(Array.from(values), reference.values, 1e-6, name);
      expectClose(await numbersOf(grad!), reference.grad, 1e-5, name);
    }
  });

  it('is loaded where it was traced', async () => {
    const { values, grad } = await graded(fixture('traced.pt'));
    expectClose(Array.from(values), quadraticValues(1), 1e-6);
    expectClose(await numbersOf(grad!), quadraticGrad(1), 1e-6);
  });

  it('has the same bits however often it has run', async () => {
    const reward = await torchScript(fixture('conv.pt'));
    const run = async () => {
      const { values, grad } = await reward.score(images(), prompts, { gradient: true });
      return [Array.from(values), await numbersOf(grad!)];
    };
    const first = await run();
    for (let again = 0; again < 4; again++) expect(await run()).toEqual(first);
  });

  it('leaves the images as they are, whatever it does to its own', async () => {
    const reward = await torchScript(
      script(forward('images: Tensor', 'torch.mean(torch.mul_(images, 2.), [1, 2, 3])')),
    );
    const batch = images();
    const { grad } = await reward.score(batch, prompts, { gradient: true });
    expectClose(
      await numbersOf(grad!),
      Array.from(pixels, () => 2 / 16),
      1e-6,
    );
    await reward.score(batch, prompts);
    expect(await batch.data()).toEqual(pixels);
  });

  it('is given the prompts where it takes a List[str]', async () => {
    const methods = `def forward(self: __torch__.M, images: Tensor, prompts: List[str]) -> Tensor:
  digits = annotate(List[float], [])
  for i in range(torch.len(prompts)):
    _0 = torch.append(digits, float(int(prompts[i])))
  return torch.mul(torch.mean(images, [1, 2, 3]), torch.tensor(digits))`;
    const { values, grad } = await graded(script(methods));
    expectClose(
      Array.from(values),
      [2, 0, 1].map((digit, image) => digit * mean(of(image, (x) => x))),
      1e-6,
    );
    expectClose(
      await numbersOf(grad!),
      Array.from(pixels, (_, index) => [2, 0, 1][Math.floor(index / 16)]! / 16),
      1e-6,
    );
  });

  it('is given the tensors that encodePrompts makes, and defaults for the rest', async () => {
    const path = script(
      forward(
        'images: Tensor, factors: Tensor, power: int=2',
        'torch.mul(torch.mean(torch.pow(images, power), [1, 2, 3]), factors)',
      ),
    );
    const made: Tensor[] = [];
    const encodePrompts = (asked: readonly string[]) => {
      made.push(Tensor.from(Float32Array.from(asked, Number), [asked.length]));
      return made;
    };
    const { values } = await graded(path, { encodePrompts });
    expectClose(
      Array.from(values),
      [2, 0, 1].map((digit, image) => digit * mean(of(image, (x) => x * x))),
      1e-6,
    );
    expect(made.map(({ disposed }) => disposed)).toEqual([true]);
    expect((await failure(torchScript(path))).message).toMatch(/needs a tensor after the images; give `encodePrompts`/);
    const several = await failure(graded(path, { encodePrompts: () => [images(), images()] }));
    expect(several.message).toMatch(
      /forward\(images: Tensor, factors: Tensor, power: int\) -> Tensor: expected 1 tensors after the images, got 2/,
    );
    const none = await failure(graded(path, { encodePrompts: () => undefined as never }));
    expect(none.message).toContain('what encodePrompts returned: expected an array of Tensors, got undefined');
  });

  it('is called what its file is called, or as asked', async () => {
    expect((await torchScript(fixture('conv.pt'))).name).toBe('conv');
    expect((await torchScript(fixture('conv.pt'), { name: 'taste' })).name).toBe('taste');
  });

  it('can be named in a configuration', async () => {
    const reward = await createRewards(
      [{ name: 'torchscript', weight: 2, file: fixture('traced.pt'), wholeBatch: false }],
      'cpu',
    );
    const { values, parts, weights } = await reward.score(images(), prompts);
    expectClose(Array.from(values), quadraticValues(2), 1e-6);
    expect(Object.keys(parts!)).toEqual(['traced']);
    expect(weights).toEqual({ traced: 2 });
  });
});

describe('a TorchScript module of another kind', () => {
  it.each([
    {
      what: 'takes no images',
      methods: 'def forward(self: __torch__.M) -> Tensor:\n  return torch.zeros([1])',
      message: 'forward() -> Tensor: expected a first argument of type Tensor, the images, got none',
    },
    {
      what: 'takes a number first',
      methods: forward('scale: float', 'torch.zeros([1])'),
      message: 'forward(scale: float) -> Tensor: expected a first argument of type Tensor, the images, got float',
    },
    {
      what: 'takes what nobody gives',
      methods: forward('images: Tensor, scale: float', 'images'),
      message: '-> Tensor: scale: expected a Tensor, List[str] (the prompts) or a default, got float',
    },
    {
      what: 'returns two tensors',
      methods: forward('images: Tensor', '(images, images)', 'Tuple[Tensor, Tensor]'),
      message:
        'forward(images: Tensor) -> Tuple[Tensor, Tensor]: expected a returned Tensor with one value an image, [B] ' +
        'or [B, 1], got Tuple[Tensor, Tensor]',
    },
    {
      what: 'has no forward',
      methods: 'def other(self: __torch__.M, images: Tensor) -> Tensor:\n  return images',
      message: 'no method `forward`',
    },
    {
      what: 'does not parse',
      methods: 'def forward(self: __torch__.M, images: Tensor) -> Tensor:\n  return (',
      message: 'it cannot be loaded: ',
    },
    {
      what: 'uses operators of another library',
      methods: forward('images: Tensor', 'ops.torchvision.nms(images, images, 0.5)'),
      message: 'torchvision',
    },
  ])('is refused where it $what', async ({ methods, message }) => {
    const error = await failure(torchScript(script(methods)));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain(message);
  });

  it.each([
    {
      what: 'one value for all',
      expression: 'torch.mean(images)',
      message: 'what forward returned: expected shape [3] or [3, 1], one value an image, got []',
    },
    {
      what: 'a map',
      expression: 'torch.mean(images, [1])',
      message: 'what forward returned: expected shape [3] or [3, 1], one value an image, got [3, 4, 4]',
    },
    {
      what: 'whole numbers',
      expression: 'torch.to(torch.mean(images, [1, 2, 3]), 4)',
      message: 'what forward returned: expected a floating-point type, got Long',
    },
    { what: 'constants', expression: 'torch.ones([3])', message: 'what forward returns does not depend on the images' },
    {
      what: 'detached values',
      expression: 'torch.mean(torch.detach(images), [1, 2, 3])',
      message: 'what forward returns does not depend on the images',
    },
    {
      what: 'what does not multiply',
      expression: 'torch.mean(torch.matmul(images, torch.ones([3, 5])), [1, 2, 3])',
      message: 'forward failed: mat1 and mat2 shapes cannot be multiplied (12x4 and 3x5) ("code/__torch__.py", line ',
    },
  ])('names the problem where it returns $what', async ({ expression, message }) => {
    const reward = await torchScript(script(forward('images: Tensor', expression)), { name: 'mine' });
    const error = await failure(score(reward, images(), prompts, { gradient: true }));
    expect(error).toMatchObject({ code: 'ERR_EAM_REWARD' });
    expect(error.message).toContain(`reward "mine" failed: ${message}`);
    expect(error.message).not.toContain('\n');
  });

  it("keeps a module's own message", async () => {
    const raising = (message: string) =>
      script(`def forward(self: __torch__.M, images: Tensor) -> Tensor:
  if torch.eq(torch.size(images, 1), 3):
    pass
  else:
    ops.prim.RaiseException(${message})
  return torch.mean(images, [1, 2, 3])`);
    const assertion = await failure(graded(raising('"AssertionError: images must be RGB"')));
    expect(assertion.message).toMatch(
      /^forward failed: AssertionError: images must be RGB \("code\/__torch__.py", line \d+, in forward\)$/,
    );
    const typed = await failure(
      graded(raising('torch.format("needs 3 channels, got {}", torch.size(images, 1)), "builtins.ValueError"')),
    );
    expect(typed.message).toMatch(/^forward failed: ValueError: needs 3 channels, got 1 \(/);
  });

  it('refuses images that do not fit', async () => {
    const reward = await torchScript(script(quadratic(1)));
    expect((await failure(reward.score(Tensor.from([1, 2, 3], [3]), prompts))).message).toBe(
      'images: expected shape [B, channels, H, W] with at least one image, got [3]',
    );
    const bytes = Tensor.from(new Uint8Array(12), [1, 3, 2, 2]);
    expect((await failure(reward.score(bytes, prompts))).message).toContain(
      'images: expected a floating-point type, got Byte',
    );
    const gone = images();
    gone.dispose();
    expect((await failure(reward.score(gone, prompts))).code).toBe('ERR_EAM_DISPOSED');
  });

  it('says that a device is not there', async () => {
    if (binding().cudaDeviceCount() > 0) return;
    expect((await failure(torchScript(fixture('conv.pt'), { device: 'cuda' }))).message).toMatch(/cuda/);
  });
});
