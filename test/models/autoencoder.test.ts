// The KL autoencoder against diffusers' values, its gradient against differences, and what it refuses.
import { describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError, DisposedError, EamError, ShapeError } from '../../lib/errors.js';
import type { AutoencoderKlConfig, NativeAutoencoder } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { type DType, Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';
import { scaledError, sd35Tensors, waves, wavyWeights } from '../helpers/published.js';
import reference from '../vectors/encoders.json' with { type: 'json' };

const sd35: AutoencoderKlConfig = {
  inChannels: 3,
  outChannels: 3,
  latentChannels: 4,
  blockOutChannels: [8, 16],
  layersPerBlock: 1,
  normGroups: 4,
  midBlockAttention: true,
  useQuantConv: false,
  usePostQuantConv: false,
  scalingFactor: 1.5305,
  shiftFactor: 0.0609,
};
const weights = await sd35Tensors('vae/diffusion_pytorch_model');
const goldens = await sd35Tensors('goldens');
const load = (config: AutoencoderKlConfig, tensors = weights, dtype?: DType): Promise<NativeAutoencoder> =>
  binding().loadNetwork('autoencoder-kl', { config, weights: tensors, dtype, device: 'cpu' });
const autoencoderShapes = (config: AutoencoderKlConfig) => binding().networkLayout('autoencoder-kl', config).tensors;
const autoencoder = await load(sd35);
const golden = (name: string): Tensor => goldens[name]!;

/** x·scale + offset. */
const affine = async (x: Tensor, scale: number, offset: number): Promise<Tensor> =>
  Tensor.from(
    Float32Array.from(await numbersOf(x), (value) => value * scale + offset),
    x.shape,
  );
const failure = async (work: Promise<unknown>): Promise<EamError> => {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(EamError);
  return error as EamError;
};

describe('the autoencoder of the tiny Stable Diffusion 3.5', () => {
  // The reference values are diffusers' own: images in [−1, 1], the encoder's mean neither scaled nor shifted.
  it('decodes as diffusers does', async () => {
    const images = await autoencoder.decode(golden('vae.latents'));
    expect(await scaledError(await affine(images, 2, -1), golden('vae.image'))).toBeLessThan(1e-4);
  });

  it('has the gradient that diffusers has', async () => {
    const { images, grad } = await autoencoder.decodeGradient(golden('vae.latents'), golden('vae.upstream'));
    expect(await scaledError(await affine(images, 2, -1), golden('vae.image'))).toBeLessThan(1e-4);
    expect(await scaledError(await affine(grad, 2, 0), golden('vae.grad_latents'))).toBeLessThan(1e-4);
  });

  it('encodes to the mean as diffusers does', async () => {
    const latents = await autoencoder.encode(await affine(golden('vae.encode_input'), 0.5, 0.5));
    expect(await scaledError(await affine(latents, 1 / 1.5305, 0.0609), golden('vae.encode_mean'))).toBeLessThan(1e-4);
  });

  it('treats each latent of a batch alone, and any height and width', async () => {
    const latents = waves([3, 4, 5, 2], 0.3, 1);
    const together = await numbersOf(await (await load(sd35, weights, 'float64')).decode(latents));
    expect(together).toHaveLength(3 * 3 * 10 * 4);
    const second = Tensor.from(Float64Array.from((await numbersOf(latents)).slice(40, 80)), [1, 4, 5, 2]);
    const alone = await (await load(sd35, weights, 'float64')).decode(second);
    expectClose(await numbersOf(alone), together.slice(120, 240), 1e-12);
  });

  it('computes in bfloat16 where asked, for float32 latents and images', async () => {
    const rough = await load(sd35, weights, 'bfloat16');
    const { images, grad } = await rough.decodeGradient(golden('vae.latents'), golden('vae.upstream'));
    expect([images.dtype, grad.dtype]).toEqual(['float32', 'float32']);
    const error = await scaledError(await affine(images, 2, -1), golden('vae.image'));
    expect(error).toBeGreaterThan(1e-4); // it did round
    expect(error).toBeLessThan(0.05);
    expect((await rough.encode(golden('vae.encode_input'))).dtype).toBe('float32');
  });
});

describe('autoencoders of other shapes', () => {
  it.each(reference.autoencoders)(
    "have diffusers' values for $config.blockOutChannels levels with $config.latentChannels latent channels",
    async (entry) => {
      const other = await load(entry.config, wavyWeights(autoencoderShapes(entry.config)));
      expect(await scaledError(await other.decode(waves(entry.latents, 0.5, 1)), entry.decoded)).toBeLessThan(1e-8);
      expect(await scaledError(await other.encode(waves(entry.images, 0.25, 0.5, 0.5)), entry.encoded)).toBeLessThan(
        1e-8,
      );
    },
  );

  it.each(reference.autoencoders)(
    'have the gradient that differences show ($config.blockOutChannels)',
    async ({ config, latents: shape }) => {
      const other = await load(config, wavyWeights(autoencoderShapes(config)));
      const x = await numbersOf(waves(shape, 0.5, 1));
      const at = async (step: number, direction: readonly number[]) =>
        other.decode(
          Tensor.from(
            Float64Array.from(x, (value, i) => value + step * direction[i]!),
            shape,
          ),
        );
      const direction = await numbersOf(waves(shape, 1.1, 1));
      const images = await at(0, direction);
      const upstream = waves(images.shape, 2, 1);
      const { grad } = await other.decodeGradient(Tensor.from(Float64Array.from(x), shape), upstream);
      const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
      const along = dot(await numbersOf(grad), direction);
      const [ahead, behind, weight] = await Promise.all(
        [at(1e-5, direction), at(-1e-5, direction), upstream].map(async (y) => numbersOf(await y)),
      );
      expect(Math.abs((dot(ahead!, weight!) - dot(behind!, weight!)) / 2e-5 - along)).toBeLessThan(
        1e-7 * Math.abs(along),
      );
    },
  );
});

describe('an autoencoder', () => {
  it('refuses tensors that are missing, misshapen or not known, and lists them', async () => {
    const { 'decoder.conv_in.bias': _, ...rest } = weights;
    const bias = Tensor.from(new Int32Array(8), [8]);
    const wrong = {
      ...rest,
      'encoder.conv_in.bias': bias,
      'encoder.conv_in.weight': waves([8, 3, 1, 1], 0, 1),
      'quant_conv.weight': waves([8, 8, 1, 1], 0, 1),
    };
    const error = await failure(load(sd35, wrong));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(/4 tensors do not fit the autoencoder/);
    expect(error.message).toMatch(/decoder\.conv_in\.bias: expected shape \[16\], but it is missing/);
    expect(error.message).toMatch(/encoder\.conv_in\.weight: expected shape \[8, 3, 3, 3\], got \[8, 3, 1, 1\]/);
    expect(error.message).toMatch(/encoder\.conv_in\.bias: expected a floating-point type, got Int/);
    expect(error.message).toMatch(/quant_conv\.weight: unknown tensor of shape \[8, 8, 1, 1\]/);
  });

  it('refuses missing tensors without allocating them', async () => {
    const huge = { ...sd35, blockOutChannels: [2 ** 22, 2 ** 22] }; // 600 TB a convolution
    expect(await failure(load(huge))).toBeInstanceOf(CheckpointError);
  });

  it.each([
    {
      config: { ...sd35, blockOutChannels: [] },
      message: /blockOutChannels: expected one number for each of 1 to 16 levels, got 0/,
    },
    {
      config: { ...sd35, blockOutChannels: [8, 18] },
      message: /blockOutChannels: expected a multiple of normGroups 4, got 18/,
    },
    { config: { ...sd35, normGroups: 0 }, message: /normGroups: expected a number of at least 1, got 0/ },
    { config: { ...sd35, latentChannels: -4 }, message: /latentChannels: expected a number of at least 1, got -4/ },
    { config: { ...sd35, layersPerBlock: 1.5 }, message: /layersPerBlock/ },
    { config: { ...sd35, scalingFactor: 0 }, message: /scalingFactor: expected a number other than 0, got 0/ },
    { config: { ...sd35, scalingFactor: NaN }, message: /scalingFactor/ },
    { config: { ...sd35, act_fn: 'silu' }, message: /act_fn/ },
    { config: undefined, message: /autoencoder-kl: expected an object/ },
  ])('refuses the configuration $config', async ({ config, message }) => {
    const error = await failure(load(config as AutoencoderKlConfig));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(message);
  });

  it.each(['int64', 'float8', 7])('refuses the dtype %s', async (dtype) => {
    expect(await failure(load(sd35, weights, dtype as DType))).toBeInstanceOf(ConfigError);
  });

  it('refuses a device that is not there, and tensors that are none', async () => {
    expect(
      await failure(binding().loadNetwork('autoencoder-kl', { config: sd35, weights, device: 'cuda:99' })),
    ).toBeInstanceOf(ConfigError);
    const none = { ...weights, 'decoder.conv_in.bias': 3 as unknown as Tensor };
    expect((await failure(load(sd35, none))).message).toMatch(/decoder\.conv_in\.bias/);
  });

  it.each([{ shape: [2, 3, 6, 8] }, { shape: [4, 6, 8] }, { shape: [0, 4, 6, 8] }, { shape: [1, 4, 0, 8] }])(
    'refuses latents of shape $shape',
    async ({ shape }) => {
      const error = await failure(autoencoder.decode(waves(shape, 0, 1)));
      expect(error).toBeInstanceOf(ShapeError);
      expect(error.message).toContain(
        `latents: expected shape [B, 4, H, W], none of them 0, got [${shape.join(', ')}]`,
      );
    },
  );

  it('refuses images that do not fit, integers, and an upstream gradient of another shape', async () => {
    const odd = await failure(autoencoder.encode(waves([1, 3, 8, 9], 0, 1)));
    expect(odd).toBeInstanceOf(ShapeError);
    expect(odd.message).toMatch(
      /images: expected a height and width that are multiples of 2, got shape \[1, 3, 8, 9\]/,
    );
    expect(await failure(autoencoder.encode(waves([1, 1, 8, 8], 0, 1)))).toBeInstanceOf(ShapeError);
    expect(await failure(autoencoder.decode(Tensor.from(new Int32Array(192), [1, 4, 6, 8])))).toBeInstanceOf(
      ShapeError,
    );
    const upstream = await failure(autoencoder.decodeGradient(golden('vae.latents'), waves([2, 3, 6, 8], 0, 1)));
    expect(upstream).toBeInstanceOf(ShapeError);
    expect(upstream.message).toMatch(
      /upstream: expected a floating-point gradient \[2, 3, 12, 16\] on cpu .*, got Double \[2, 3, 6, 8\] on cpu/,
    );
    expect(await failure(autoencoder.decode(undefined as unknown as Tensor))).toBeInstanceOf(ShapeError);
  });

  it('refuses all use after dispose, but finishes the work that had begun', async () => {
    const short = await load(sd35);
    const begun = short.decode(golden('vae.latents'));
    short.dispose();
    short.dispose();
    expect((await begun).shape).toEqual([2, 3, 12, 16]);
    expect(await failure(short.decode(golden('vae.latents')))).toBeInstanceOf(DisposedError);
    expect(await failure(short.decodeGradient(golden('vae.latents'), golden('vae.upstream')))).toBeInstanceOf(
      DisposedError,
    );
    expect(await failure(short.encode(golden('vae.encode_input')))).toBeInstanceOf(DisposedError);
  });

  it('refuses a constructor call by hand', () => {
    const construct = autoencoder.constructor as unknown as new () => unknown;
    expect(() => new construct()).toThrow(ConfigError);
  });

  it('keeps its weights when the typed arrays that they came from are transferred', async () => {
    const config = reference.autoencoders[1]!.config;
    const arrays = Object.entries(autoencoderShapes(config)).map(
      ([name, shape]) =>
        [name, shape, new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0.01)] as const,
    );
    const own = await load(
      config,
      Object.fromEntries(arrays.map(([name, shape, data]) => [name, Tensor.from(data, [...shape])])),
    );
    const before = await numbersOf(await own.decode(waves([1, 3, 2, 2], 0, 1)));
    for (const [, , data] of arrays) structuredClone(data.fill(NaN).buffer, { transfer: [data.buffer] });
    expect(await numbersOf(await own.decode(waves([1, 3, 2, 2], 0, 1)))).toEqual(before);
  });
});
