// CLIP's and T5's text encoders against what transformers and diffusers compute, and what they refuse.
import { describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError, DisposedError, EamError, ShapeError } from '../../lib/errors.js';
import type { NativeTextEncoder } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';
import { scaledError, tokenIds, waves, wavyWeights } from '../helpers/published.js';
import reference from '../vectors/encoders.json' with { type: 'json' };
import {
  clipG,
  clipL,
  clipTextShapes,
  files,
  goldens,
  ids,
  loadClip,
  loadT5,
  smallClip,
  smallT5,
  t5,
  t5Shapes,
  type Tensors,
} from '../helpers/text-encoders.js';

const failure = async (work: Promise<unknown>): Promise<EamError> => {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(EamError);
  return error as EamError;
};

/** Rows of `width` numbers. */
const rowsOf = async (tensor: Tensor): Promise<number[][]> => {
  const [numbers, width] = [await numbersOf(tensor), tensor.shape.at(-1)!];
  return Array.from({ length: numbers.length / width }, (_, i) => numbers.slice(i * width, (i + 1) * width));
};

describe('the text encoders of the tiny Stable Diffusion 3.5', async () => {
  const l = await (await loadClip(clipL, files.clipL)).encode(await ids('clip_l'));
  const g = await (await loadClip(clipG, files.clipG)).encode(await ids('clip_g'));
  const t = await (await loadT5(t5, files.t5)).encode(await ids('t5'));
  // [B, 77 + 64, 32]: CLIP's features side by side, filled up with zeros, then T5's tokens.
  const embeds = await rowsOf(goldens['prompt_embeds']!);
  const tokens = (part: 'clip' | 't5', from: number, to: number) =>
    embeds.filter((_, i) => i % 141 < 77 === (part === 'clip')).flatMap((row) => row.slice(from, to));

  it("give CLIP's states before the last layer as diffusers does", async () => {
    expect(l.hidden.shape).toEqual([4, 77, 12]);
    expect(await scaledError(l.hidden, tokens('clip', 0, 12))).toBeLessThan(1e-4);
    expect(await scaledError(g.hidden, tokens('clip', 12, 28))).toBeLessThan(1e-4);
    expect(tokens('clip', 28, 32).every((value) => value === 0)).toBe(true);
  });

  it("give CLIP's features as diffusers does", async () => {
    const pooled = await rowsOf(goldens['pooled_prompt_embeds']!);
    expect(
      await scaledError(
        l.pooled!,
        pooled.flatMap((row) => row.slice(0, 12)),
      ),
    ).toBeLessThan(1e-4);
    expect(
      await scaledError(
        g.pooled!,
        pooled.flatMap((row) => row.slice(12)),
      ),
    ).toBeLessThan(1e-4);
  });

  it("give T5's states as diffusers does", async () => {
    expect(t.hidden.shape).toEqual([4, 64, 32]);
    expect(t.pooled).toBeUndefined();
    expect(await scaledError(t.hidden, tokens('t5', 0, 32))).toBeLessThan(1e-4);
  });

  it.each(['bfloat16', 'float16'] as const)('compute in %s where asked', async (dtype) => {
    const clip = await (await loadClip(clipL, files.clipL, dtype)).encode(await ids('clip_l'));
    const other = await (await loadT5(t5, files.t5, dtype)).encode(await ids('t5'));
    for (const [found, exact] of [
      [clip.hidden, l.hidden],
      [clip.pooled!, l.pooled!],
      [other.hidden, t.hidden],
    ] as const) {
      expect(found.dtype).toBe(dtype);
      expect(await scaledError(found, exact)).toBeLessThan(dtype === 'float16' ? 5e-3 : 5e-2);
    }
  });
});

describe('text encoders of other shapes', () => {
  it("give transformers' states for one layer of CLIP that pools at the largest id", async () => {
    const clip = await loadClip(smallClip, wavyWeights(clipTextShapes(smallClip)));
    const { hidden, pooled } = await clip.encode(tokenIds(reference.clipText.ids));
    expect(await scaledError(hidden, reference.clipText.hidden)).toBeLessThan(1e-6);
    expect(await scaledError(pooled!, reference.clipText.pooled)).toBeLessThan(1e-6);
    // The same position by the token's own name, its first one.
    const named = await loadClip({ ...smallClip, eosToken: 32 }, wavyWeights(clipTextShapes(smallClip)));
    expect(
      await scaledError((await named.encode(tokenIds(reference.clipText.ids))).pooled!, reference.clipText.pooled),
    ).toBeLessThan(1e-6);
  });

  it('let a token of CLIP see only those before it', async () => {
    const clip = await loadClip({ ...smallClip, layers: 2 }, wavyWeights(clipTextShapes({ ...smallClip, layers: 2 })));
    const rows = await rowsOf(
      (
        await clip.encode(
          tokenIds([
            [1, 2, 3, 4],
            [1, 2, 30, 31],
          ]),
        )
      ).hidden,
    );
    expectClose(rows.slice(0, 2).flat(), rows.slice(4, 6).flat(), 1e-12);
    expect(rows[2]).not.toEqual(rows[6]);
  });

  it("give transformers' states for the first T5, one block with relu", async () => {
    const encoder = await loadT5(smallT5, wavyWeights(t5Shapes(smallT5)));
    expect(
      await scaledError((await encoder.encode(tokenIds(reference.t5.ids))).hidden, reference.t5.hidden),
    ).toBeLessThan(1e-6);
  });

  it('encode each row of a batch alone, whatever its length', async () => {
    const clip = await loadClip(smallClip, wavyWeights(clipTextShapes(smallClip)));
    const encoder = await loadT5(smallT5, wavyWeights(t5Shapes(smallT5)));
    for (const network of [clip, encoder]) {
      for (const rows of [
        [
          [3, 1, 4, 1, 5],
          [9, 2, 6, 5, 3],
        ],
        [[7], [8]],
      ]) {
        const together = await rowsOf((await network.encode(tokenIds(rows))).hidden);
        const alone = await rowsOf((await network.encode(tokenIds(rows.slice(1)))).hidden);
        expectClose(alone.flat(), together.slice(rows[0]!.length).flat(), 1e-12);
      }
    }
  });

  it("find T5's table of tokens under either name, or both", async () => {
    const { 'shared.weight': table, ...rest } = wavyWeights(t5Shapes(smallT5));
    const encode = async (tensors: Tensors) =>
      numbersOf((await (await loadT5(smallT5, tensors)).encode(tokenIds([[1, 2]]))).hidden);
    const expected = await encode({ ...rest, 'shared.weight': table! });
    expect(await encode({ ...rest, 'encoder.embed_tokens.weight': table! })).toEqual(expected);
    expect(await encode({ ...rest, 'shared.weight': table!, 'encoder.embed_tokens.weight': table! })).toEqual(expected);
  });

  it('pass over the positions that older files of CLIP hold', async () => {
    const tensors = {
      ...wavyWeights(clipTextShapes(smallClip)),
      'text_model.embeddings.position_ids': tokenIds([[0, 1, 2, 3, 4, 5, 6, 7, 8]]),
    };
    const { pooled } = await (await loadClip(smallClip, tensors)).encode(tokenIds(reference.clipText.ids));
    expect(await scaledError(pooled!, reference.clipText.pooled)).toBeLessThan(1e-6);
  });

  it('keep T5 in float16 finite where float16 cannot hold its states', async () => {
    const tensors = wavyWeights(t5Shapes(smallT5));
    const wo = 'encoder.block.0.layer.1.DenseReluDense.wo.weight';
    tensors[wo] = waves([12, 20], 1, 3e5); // infinite in float16, as is what it makes
    const rough = await (await loadT5(smallT5, tensors, 'float16')).encode(tokenIds(reference.t5.ids));
    const exact = await (await loadT5(smallT5, tensors)).encode(tokenIds(reference.t5.ids));
    expect(await scaledError(rough.hidden, exact.hidden)).toBeLessThan(5e-3);
  });
});

describe('text encoders', () => {
  const clip = (): Promise<NativeTextEncoder> =>
    loadClip({ ...smallClip, eosToken: 32 }, wavyWeights(clipTextShapes(smallClip)));
  const encoder = (): Promise<NativeTextEncoder> => loadT5(smallT5, wavyWeights(t5Shapes(smallT5)));

  it('refuse ids outside the vocabulary', async () => {
    for (const [network, outside] of [
      [await clip(), 33],
      [await encoder(), 40],
      [await clip(), -1],
    ] as const) {
      const error = await failure(network.encode(tokenIds([[1, outside]])));
      expect(error).toBeInstanceOf(ShapeError);
      expect(error.message).toMatch(
        new RegExp(`encode: ids: expected tokens of the encoder's vocabulary, 0 to \\d+, got ${outside}; use the`),
      );
    }
  });

  it('refuse more tokens than CLIP has positions for, a row without an end, ids of another type or shape', async () => {
    const network = await clip();
    const long = await failure(network.encode(tokenIds([[0, 1, 2, 3, 4, 5, 6, 7, 8, 32]])));
    expect(long).toBeInstanceOf(ShapeError);
    expect(long.message).toMatch(/ids: expected at most 9 tokens a row, .*, got 10; truncate the prompts to that/);
    const endless = await failure(
      network.encode(
        tokenIds([
          [1, 32],
          [1, 31],
        ]),
      ),
    );
    expect(endless).toBeInstanceOf(ShapeError);
    expect(endless.message).toMatch(/ids\[1\]: expected the end token 32, .*, got none/);
    for (const wrong of [
      Tensor.from(Float32Array.of(1, 2), [1, 2]),
      Tensor.from(BigInt64Array.of(1n, 32n), [2]),
      Tensor.from(new BigInt64Array(0), [1, 0]),
    ]) {
      expect((await failure(network.encode(wrong))).message).toMatch(
        /ids: expected int64 \[B, L\] with at least one token, got (Float|Long) \[/,
      );
      expect(await failure((await encoder()).encode(wrong))).toBeInstanceOf(ShapeError);
    }
    expect(await failure(network.encode([[1, 32]] as unknown as Tensor))).toBeInstanceOf(ShapeError);
  });

  it.each([
    {
      name: 'clip-text',
      config: { ...smallClip, heads: 5 },
      message: /width: expected a multiple of heads 5, got 12/,
    },
    {
      name: 'clip-text',
      config: { ...smallClip, layers: 0 },
      message: /layers: expected a number of at least 1, got 0/,
    },
    {
      name: 'clip-text',
      config: { ...smallClip, positions: -1 },
      message: /positions: expected a number of at least 1, got -1/,
    },
    {
      name: 'clip-text',
      config: { ...smallClip, layerNormEpsilon: 0 },
      message: /layerNormEpsilon: expected a number above 0, got 0/,
    },
    {
      name: 'clip-text',
      config: { ...smallClip, activation: 'relu' },
      message: /activation.*"gelu", "quick_gelu", got "relu"/,
    },
    { name: 'clip-text', config: { ...smallClip, vocabulary: '33' }, message: /vocabulary/ },
    {
      name: 'clip-text',
      config: { ...smallClip, activation: undefined },
      message: /activation.*expected one of "gelu", "quick_gelu", but it is missing/,
    },
    {
      name: 't5-encoder',
      config: { ...smallT5, feedForward: 'gated-silu' },
      message: /feedForward.*expected one of .*, got "gated-silu"/,
    },
    {
      name: 't5-encoder',
      config: { ...smallT5, relativeBuckets: 6 },
      message: /relativeBuckets: expected a multiple of .*, got 6/,
    },
    {
      name: 't5-encoder',
      config: { ...smallT5, feedForward: undefined },
      message: /feedForward.*expected one of .*, but it is missing/,
    },
    {
      name: 't5-encoder',
      config: { ...smallT5, relativeMaxDistance: 2 },
      message: /relativeMaxDistance: expected a number above a quarter of relativeBuckets, 2, got 2/,
    },
    {
      name: 't5-encoder',
      config: { ...smallT5, keyWidth: 0 },
      message: /keyWidth: expected a number of at least 1, got 0/,
    },
    { name: 't5-encoder', config: 'T5', message: /t5-encoder: expected an object/ },
  ] as const)('refuse the configuration $config of $name', async ({ name, config, message }) => {
    const tensors = wavyWeights(name === 'clip-text' ? clipTextShapes(smallClip) : t5Shapes(smallT5));
    const parts = { config: config as never, weights: tensors, device: 'cpu' };
    const error = await failure(binding().loadNetwork(name, parts));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(message);
  });

  it('refuse files of another network, and list what does not fit', async () => {
    const swapped = await failure(loadT5(t5, files.clipL));
    expect(swapped).toBeInstanceOf(CheckpointError);
    expect(swapped.message).toMatch(
      /do not fit the T5 encoder:\n {2}shared\.weight: expected shape \[160, 32\], but it is missing/,
    );
    const wide = await failure(loadClip({ ...clipL, projection: 24 }, files.clipL));
    expect(wide.message).toMatch(
      new RegExp(
        String.raw`1 tensor does not fit the CLIP text encoder:\n {2}text_projection\.weight: expected shape ` +
          String.raw`\[24, 12\], got \[12, 12\]`,
      ),
    );
    const deep = await failure(loadT5({ ...t5, layers: 1 }, files.t5));
    expect(deep.message).toMatch(/encoder\.block\.1\.\S+: unknown tensor of shape/);
  });

  it('refuse all use after dispose', async () => {
    for (const network of [await clip(), await encoder()]) {
      network.dispose();
      network.dispose();
      const error = await failure(network.encode(tokenIds([[1, 32]])));
      expect(error).toBeInstanceOf(DisposedError);
      expect(error.message).toMatch(/text encoder has been disposed/);
    }
  });
});
