// What the native networks of published rewards refuse to load or to read.
import { describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError, ShapeError } from '../../lib/errors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';
import { type LoadOptions, type TinyReward, tinyRewards } from '../helpers/published-rewards.js';
import { failure } from '../helpers/refusal.js';
import { goldensOf, score } from '../helpers/tiny-reward-scores.js';

const nothing = { grad: false, features: false };

describe('the tokens that a reward reads', () => {
  it("are refused unless they are its prompts', a row an image", async () => {
    const pickscore = await tinyRewards.pickscore();
    const goldens = await goldensOf('pickscore');
    const images = goldens['square.images']!;
    const ids = (change: (numbers: Int32Array) => void) => {
      const numbers = new Int32Array(4 * 77).fill(2013);
      change(numbers);
      return Tensor.from(numbers, [4, 77]);
    };
    expect(await failure(ConfigError, pickscore.score(images, undefined, undefined, nothing, 0))).toContain(
      'ids: expected shape [4, L], a row an image, but it is missing',
    );
    expect(await failure(ConfigError, pickscore.score(images, goldens['ids'], goldens['ids'], nothing, 0))).toContain(
      'mask: expected none, since this reward does not read it, got [4, 77]',
    );
    expect(
      await failure(
        ShapeError,
        pickscore.score(images, Tensor.from(new Int32Array(77), [1, 77]), undefined, nothing, 0),
      ),
    ).toContain('a row an image');
    for (const wrong of [2014, -1]) {
      const message = await failure(
        ShapeError,
        pickscore.score(
          images,
          ids((numbers) => {
            numbers[100] = wrong;
          }),
          undefined,
          nothing,
          0,
        ),
      );
      expect(message).toMatch(new RegExp(`ids: expected tokens of the encoder's vocabulary, 0 to 2013, got ${wrong};`));
    }
    expect(await failure(ConfigError, pickscore.score(images, goldens['ids'], undefined, nothing, -1))).toContain(
      'slice',
    );

    const aesthetic = await tinyRewards.aesthetic();
    expect(await failure(ConfigError, aesthetic.score(images, goldens['ids'], undefined, nothing, 0))).toContain(
      'ids: expected none, since this reward does not read it, got [',
    );
  });

  it('are refused without a mask of the same shape where the reward has one', async () => {
    const reward = await tinyRewards.imagereward();
    const { ids, mask, 'square.images': images } = await goldensOf('imagereward');
    expect(await failure(ConfigError, reward.score(images!, ids, undefined, nothing, 0))).toContain(
      'mask: expected shape [4, L], a row an image, but it is missing',
    );
    const short = Tensor.from(new Int32Array(4 * 34).fill(1), [4, 34]);
    expect(await failure(ShapeError, reward.score(images!, ids, short, nothing, 0))).toMatch(
      /mask: expected shape \[4, 35\] as ids has, got \[4, 34\]/,
    );
    const visible = (index: number) => index % 35 < 20;
    const half = Tensor.from(
      Int32Array.from({ length: 4 * 35 }, (_, index) => Number(visible(index))),
      [4, 35],
    );
    const tokens = await numbersOf(ids!);
    const padded = (padding: number) =>
      Tensor.from(
        Int32Array.from(tokens, (token, index) => (visible(index) ? token : padding)),
        [4, 35],
      );
    const [zeros, eights] = await Promise.all(
      [0, 8].map((padding) => reward.score(images!, padded(padding), half, nothing, 0)),
    );
    expectClose(Array.from(zeros!.values), Array.from(eights!.values), 1e-6, 'whatever the padding');
    const seen = await reward.score(images!, padded(8), mask, nothing, 0);
    expect(Array.from(seen.values)).not.toEqual(Array.from(eights!.values));
  });
});

describe('the loading of a published reward', () => {
  const refused = (name: TinyReward, edit: LoadOptions['edit']) =>
    failure(CheckpointError, tinyRewards[name]({ edit: edit! }));

  it('lists what is missing, extra or misshapen', async () => {
    const extra = Tensor.from(new Float32Array(2), [2]);
    const message = await refused('pickscore', (tensors) => {
      delete tensors['visual_projection.weight'];
      tensors['surprise'] = extra;
      tensors['vision_model.post_layernorm.bias'] = extra;
    });
    expect(message).toContain('visual_projection.weight: expected shape [24, 32], but it is missing');
    expect(message).toContain('surprise: unknown tensor of shape [2]');
    expect(message).toContain('vision_model.post_layernorm.bias: expected shape [32], got [2]');
    expect(
      await refused('pickscore', (tensors) => {
        delete tensors['logit_scale'];
      }),
    ).toContain('logit_scale: expected shape [], but it is missing');
    expect(
      await refused('imagereward', (tensors) => {
        delete tensors['blip.visual_encoder.norm.bias'];
      }),
    ).toMatch(/blip\.visual_encoder\.norm\.bias: expected shape \[\d+\], but it is missing/);
    expect(
      await refused('imagereward', (tensors) => {
        delete tensors['mlp.layers.7.weight'];
      }),
    ).toContain('mlp.layers');
    expect(
      await refused('imagereward', (tensors) => {
        tensors['mlp.surprise'] = extra;
      }),
    ).toContain('mlp.surprise');
  });

  it("names open_clip's tensors as its files do", async () => {
    const extra = Tensor.from(new Float32Array(2), [2]);
    const message = await refused('hpsv2', (tensors) => {
      for (const name of [
        'visual.proj',
        'positional_embedding',
        'visual.transformer.resblocks.0.attn.in_proj_bias',
        'transformer.resblocks.1.mlp.c_fc.bias',
      ]) {
        expect(tensors[name]).toBeDefined();
        delete tensors[name];
      }
      tensors['visual.transformer.resblocks.9.ln_1.bias'] = tensors['ln_final.bias'] = extra;
    });
    const lines = message.split('\n').map((line) => line.trim());
    expect(lines).toEqual(
      expect.arrayContaining([
        'visual.proj (transposed): expected shape [24, 32], but it is missing',
        expect.stringMatching(/^positional_embedding: expected shape .*, but it is missing$/),
        ...['queries', 'keys', 'values'].map(
          (part) =>
            `visual.transformer.resblocks.0.attn.in_proj_bias (its ${part}): expected shape [32], but it is missing`,
        ),
        expect.stringMatching(/^transformer\.resblocks\.1\.mlp\.c_fc\.bias: expected shape .*, but it is missing$/),
        'visual.transformer.resblocks.9.ln_1.bias: unknown tensor of shape [2]',
        expect.stringMatching(/^ln_final\.bias: expected shape .*, got \[2\]$/),
      ]),
    );
    expect(message).not.toMatch(/vision_model|text_model/);
  });

  it('leaves out what scoring never uses', async () => {
    const unused = Tensor.from(new Float32Array(2), [2]);
    const goldens = await goldensOf('imagereward');
    const reward = await tinyRewards.imagereward({
      edit: (tensors) => {
        for (const name of [
          'vision_proj.weight',
          'text_proj.bias',
          'itm_head.weight',
          'text_decoder.cls.bias',
          'text_encoder.embeddings.position_ids',
        ]) {
          tensors[`blip.${name}`] = unused;
        }
      },
    });
    const { values } = await score(reward, goldens['square.images']!, goldens, false);
    expectClose(Array.from(values), await numbersOf(goldens['square.scores']!), 1e-4);
  });

  it('refuses a head that does not fit the features, or scores several values', async () => {
    const stack = (shape: number[]) => ({
      'layers.0.weight': Tensor.from(new Float32Array(shape[0]! * shape[1]!), shape),
      'layers.0.bias': Tensor.from(new Float32Array(shape[0]!), [shape[0]!]),
    });
    expect(await failure(CheckpointError, tinyRewards.aesthetic({ head: stack([1, 23]) }))).toContain(
      'layers.0.weight: expected shape [1, 24], got [1, 23]',
    );
    expect(await failure(CheckpointError, tinyRewards.aesthetic({ head: stack([2, 24]) }))).toContain(
      'layers.0.weight: expected shape [1, 24], got [2, 24]',
    );
    expect(await failure(CheckpointError, tinyRewards.aesthetic({ head: {} }))).toMatch(
      /layers\.0\.weight: expected shape \[1, 24\], but it is missing/,
    );
  });

  it('refuses sizes that make no sense', async () => {
    expect(await failure(ConfigError, tinyRewards.pickscore({ vision: { heads: 3 } }))).toContain('heads');
    expect(await failure(ConfigError, tinyRewards.pickscore({ preprocess: { size: 31 } }))).toContain(
      'preprocess.size: expected',
    );
    expect(await failure(ConfigError, tinyRewards.imagereward({ preprocess: { std: [1, 0, 1] } }))).toContain(
      'preprocess.std',
    );
    expect(await failure(ConfigError, tinyRewards.hpsv2({ preprocess: { mean: [0.5] } }))).toContain('preprocess.mean');
    expect(await failure(ConfigError, tinyRewards.hpsv2({ dtype: 'int64' }))).toContain('dtype');
  });
});
