// FLUX.2's prompts: the chat template and tokens as transformers has them, and Qwen3's states.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readFlux2Directory } from '../../lib/models/flux2/directory.js';
import { flux2Embeddings } from '../../lib/models/flux2/text.js';
import { withComponent } from '../../lib/models/component-weights.js';
import { loadChatTokenizer } from '../../lib/models/tokenizers/chat.js';
import { loadTensors, readHeader } from '../../lib/files/safetensors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { Flux2Copy, otherFlux2, tinyFlux2 } from '../helpers/flux2.js';
import { numbersOf } from '../helpers/numbers.js';
import { scaledError, tokenIds, wavyWeights } from '../helpers/published.js';
import { refusal } from '../helpers/refusal.js';
import { loadT5, smallT5, t5Shapes } from '../helpers/text-encoders.js';

const goldensOf = async (directory: string) => {
  const path = join(directory, 'goldens.safetensors');
  const { metadata } = await readHeader(path);
  return { tensors: await loadTensors(path), prompts: JSON.parse(metadata['prompts']!) as string[] };
};

describe('the chat tokenizer', () => {
  it.each([
    { source: 'tokenizer_config.json', directory: tinyFlux2, length: 64 },
    { source: 'a file of its own', directory: otherFlux2('double-only'), length: 24 },
  ])('renders and cuts prompts as transformers does, its template in $source', async ({ directory, length }) => {
    const { tensors, prompts } = await goldensOf(directory);
    const { ids, mask, truncated } = (await loadChatTokenizer(join(directory, 'tokenizer'), length)).encode(prompts);
    expect(ids.flatMap((row) => [...row])).toEqual(await numbersOf(tensors['ids.qwen3']!));
    expect(mask.flatMap((row) => [...row])).toEqual(await numbersOf(tensors['mask.qwen3']!));
    expect(truncated).toBeGreaterThan(0);
  });

  const config = 'tokenizer/tokenizer_config.json';
  const { chat_template: template } = JSON.parse(readFileSync(join(tinyFlux2, config), 'utf8')) as {
    chat_template: string;
  };
  const encoded = async (copy: Flux2Copy) => (await loadChatTokenizer(copy.file('tokenizer'), 32)).encode(['a fox']);

  it('takes the default of several templates', async () => {
    const several = [
      { name: 'tool_use', template: 'no' },
      { name: 'default', template },
    ];
    expect(await encoded(new Flux2Copy().set(config, { chat_template: several }))).toEqual(
      await encoded(new Flux2Copy()),
    );
  });

  it.each([
    {
      what: 'no template',
      copy: () => new Flux2Copy().set(config, { chat_template: undefined }),
      why: /chat template/,
    },
    {
      what: 'a template that does not parse',
      copy: () => new Flux2Copy().set(config, { chat_template: '{% for %}' }),
      why: /tokenizer_config\.json: the chat template cannot be rendered/,
    },
    {
      what: 'a template that refuses users',
      copy: () => new Flux2Copy().set(config, { chat_template: "{{ raise_exception('no users') }}" }),
      why: /cannot be rendered: no users/,
    },
    {
      what: 'padding on the left',
      copy: () => new Flux2Copy().set(config, { padding_side: 'left' }),
      why: /padding_side/,
    },
    {
      what: 'nothing to pad with',
      copy: () => new Flux2Copy().set(config, { pad_token: undefined, eos_token: undefined }),
      why: /a pad_token to fill rows up with, got none/,
    },
    { what: 'no tokenizer.json', copy: () => new Flux2Copy().remove('tokenizer/tokenizer.json'), why: /no tokenizer/ },
    {
      what: 'a vocabulary without the padding',
      copy: () => new Flux2Copy().set(config, { pad_token: '<|nothing|>' }),
      why: /lacks the token "<\|nothing\|>"/,
    },
  ])('is refused with $what', async ({ copy, why }) => {
    expect(await refusal(encoded(copy()))).toMatch(why);
  });
});

describe('Qwen3 as a text encoder', () => {
  const load = async () => {
    const { text } = await readFlux2Directory(tinyFlux2);
    return withComponent(text.directory, (weights) =>
      binding().loadNetwork('qwen3-encoder', { config: text.config, weights, device: 'cpu' }),
    );
  };
  const [first, second] = [
    [3, 14, 15, 92],
    [65, 35, 89, 79],
  ];

  it('attends to what came before, and to no padding', async () => {
    const encoder = await load();
    const hidden = async (ids: number[], mask?: number[]) =>
      numbersOf((await encoder.encode(tokenIds([ids]), mask && tokenIds([mask]))).hidden);
    const width = 3 * 24;
    const whole = await hidden([...first, ...second]);
    expect((await hidden([...first, 1, 2, 3, 4])).slice(0, 4 * width)).toEqual(whole.slice(0, 4 * width));
    // The tokens of a text do not see the padding behind them; the padding sees the text and not itself.
    const masked = await hidden([...first, ...second], [1, 1, 1, 1, 0, 0, 0, 0]);
    expect(masked.slice(0, 4 * width)).toEqual(whole.slice(0, 4 * width));
    const other = await hidden([...first, 1, 2, ...second.slice(2)], [1, 1, 1, 1, 0, 0, 0, 0]);
    expect(other.slice(6 * width)).toEqual(masked.slice(6 * width));
    expect(masked.slice(6 * width)).not.toEqual(whole.slice(6 * width));
  });

  it.each([
    { what: 'a mask of another shape', mask: [[1, 1]], why: /mask: expected shape \[1, 4\] as ids has/ },
    { what: 'a row that begins with padding', mask: [[0, 1, 1, 1]], why: /mask: expected true for the first token/ },
  ])('refuses $what', async ({ mask, why }) => {
    const encoder = await load();
    expect(await refusal(encoder.encode(tokenIds([first]), tokenIds(mask)))).toMatch(why);
  });

  it('refuses ids beyond its vocabulary', async () => {
    const encoder = await load();
    expect(await refusal(encoder.encode(tokenIds([[400]])))).toMatch(/vocabulary, 0 to 367/);
  });

  it('refuses a state after its last layer, which is normalised', async () => {
    const { text } = await readFlux2Directory(tinyFlux2);
    const load = withComponent(text.directory, (weights) =>
      binding().loadNetwork('qwen3-encoder', { config: { ...text.config, states: [28] }, weights, device: 'cpu' }),
    );
    expect(await refusal(load)).toMatch(/states: expected numbers below layers, 28, got 28/);
  });

  it('takes none of what it does not read', async () => {
    const { text } = await readFlux2Directory(tinyFlux2);
    const { tensors } = binding().networkLayout('qwen3-encoder', { ...text.config, states: [9] });
    const layers = new Set(Object.keys(tensors).map((name) => /layers\.(\d+)\./.exec(name)?.[1]));
    expect(layers.size).toBe(9 + 1);
    expect(Object.keys(tensors)).not.toContain('model.norm.weight');
  });

  it('is given a mask that other encoders refuse', async () => {
    const encoder = await loadT5(smallT5, wavyWeights(t5Shapes(smallT5)));
    expect(await refusal(encoder.encode(tokenIds([[1, 2]]), tokenIds([[1, 0]])))).toMatch(/mask: expected none/);
  });
});

describe("embeddings of FLUX.2's prompts", () => {
  it("are the states that diffusers' pipeline puts side by side", async () => {
    const { tensors, prompts } = await goldensOf(tinyFlux2);
    const options = { dtype: 'float32', device: 'cpu', textLength: 64 } as const;
    const [states] = await flux2Embeddings(await readFlux2Directory(tinyFlux2), options, undefined).rows(prompts);
    expect(await scaledError(states!, tensors['prompt_embeds']!)).toBeLessThan(1e-5);
  });
});
