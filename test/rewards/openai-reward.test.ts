// What the `openai` reward asks, and how an answer becomes a value.
import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { rewardSchema } from '../../lib/rewards/registry.js';
import { score } from '../../lib/rewards/reward.js';
import { openaiReward, type OpenaiRewardOptions } from '../../lib/rewards/services/openai.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { grays, json, TestPacing, TestService, text, type Handler } from '../helpers/service.js';

type Listed = Record<string, number>;

/** A completion whose tokens have these candidates, by probability. */
const completion = (tokens: Listed[], content = 'yes', finish = 'stop') => ({
  id: 'chatcmpl-1',
  choices: [
    {
      index: 0,
      finish_reason: finish,
      message: { role: 'assistant', content },
      logprobs: {
        content: tokens.map((candidates) => {
          const listed = Object.entries(candidates).map(([token, p]) => ({ token, logprob: Math.log(p), bytes: [] }));
          return { ...listed[0], top_logprobs: listed };
        }),
      },
    },
  ],
});
const saying = (content: string | null, finish = 'stop') => ({
  choices: [{ message: { content }, finish_reason: finish }],
});

/** The value of one image, or the message of what was thrown, and what was sent. */
async function asked(handler: Handler, options: Partial<OpenaiRewardOptions> = {}, prompt = 'a fox') {
  await using service = await TestService.start(handler);
  const url = `${new URL(service.url).origin}/v1`;
  const reward = openaiReward({ url, model: 'judge-7b', retries: 1, ...options }, { pacing: new TestPacing() });
  const result = await score(reward, grays(1), [prompt], {}).then(
    ({ values }) => values[0]!,
    (error: Error) => error.message,
  );
  return { result, requests: service.requests, reward };
}

const yes = json(completion([{ yes: 0.8, no: 0.2 }]));

describe('the openai reward asks', () => {
  it('a question about one image a request, with log-probabilities of the first tokens', async () => {
    const { requests, reward } = await asked(yes);
    const [{ path, body }] = requests as [(typeof requests)[number]];
    expect([path, reward.name]).toEqual(['/v1/chat/completions', 'openai']);
    const { messages, ...rest } = body as { messages: { role: string; content: [object, { image_url: object }] }[] };
    expect(rest).toEqual({ model: 'judge-7b', max_tokens: 16, temperature: 0, logprobs: true, top_logprobs: 20 });
    expect(messages).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Does this image show the following? "a fox" Answer with yes or no alone.' },
          { type: 'image_url', image_url: { url: expect.stringMatching(/^data:image\/png;base64,iVBORw0KGgo/) } },
        ],
      },
    ]);
  });

  it('each image of a batch by itself, in order', async () => {
    const shares = [0.1, 0.2, 0.3];
    await using service = await TestService.start(({ body }, response) => {
      const prompt = Number(/"(\d)"/.exec(body.messages[0].content[0].text)![1]);
      response.end(JSON.stringify(completion([{ yes: shares[prompt]!, no: 1 - shares[prompt]! }])));
    });
    const reward = openaiReward({ url: service.url, model: 'm' });
    const { values } = await score(reward, grays(3), ['2', '0', '1'], {});
    expect([...(values as Float32Array)]).toEqual([0.3, 0.1, 0.2].map((value) => expect.closeTo(value, 6) as number));
  });

  it.each([
    {
      what: 'a question of one’s own',
      options: { question: 'Is it {prompt}?' },
      prompt: 'red $& {max} $1',
      asks: 'Is it red $& {max} $1?',
    },
    {
      what: 'a number in a range',
      options: { answer: 'number', range: [1, 5], question: '{prompt}: {min} to {max}, {prompt}?' },
      asks: 'a fox: 1 to 5, a fox?',
    },
    { what: 'without the prompt', options: { question: 'Is it sharp?' }, asks: 'Is it sharp?' },
    {
      what: 'for a number by default',
      options: { answer: 'number' },
      asks:
        'How well does this image show the following? "a fox" Answer with a number alone, from 0 (not at all) to 10 ' +
        '(in every detail).',
    },
  ] as const)('$what', async ({ options, asks, ...more }) => {
    const { requests } = await asked(json(saying('3')), options as object, 'prompt' in more ? more.prompt : 'a fox');
    expect(requests[0]!.body.messages[0].content[0].text).toBe(asks);
  });

  it('with the members of a body that a service wants, and without those that it does not', async () => {
    const body = { max_tokens: null, max_completion_tokens: 1, temperature: 0.5, top_logprobs: 5, seed: 7 };
    const { requests } = await asked(yes, { body });
    const { messages: _, ...sent } = requests[0]!.body;
    expect(sent).toEqual({
      model: 'judge-7b',
      logprobs: true,
      max_completion_tokens: 1,
      temperature: 0.5,
      top_logprobs: 5,
      seed: 7,
    });
    const number = await asked(json(saying('3')), { answer: 'number', maxTokens: 4 });
    expect(Object.keys(number.requests[0]!.body)).toEqual(['model', 'max_tokens', 'temperature', 'messages']);
  });

  it.each(['/v1/', '/v1//', '/v1', '/v1?api-version=2'])('below the address %s', async (path) => {
    await using service = await TestService.start(yes);
    const reward = openaiReward({ url: new URL(service.url).origin + path, model: 'm' });
    await score(reward, grays(1), ['a'], {});
    expect(service.requests[0]!.path).toBe(path.replace(/\/v1\/*/, '/v1/chat/completions'));
  });

  it.each([
    { options: { question: 'Is it {promt}?' }, says: /question: expected only .* in braces, not {promt}/ },
    { options: { range: [5, 5] }, says: /range: expected a smaller number and a larger one, got \[5,5\]/ },
    { options: { answer: 'yes' }, says: /answer: expected one of "probability", "log-odds", "number"/ },
    { options: { model: '' }, says: /model: expected a string of at least 1/ },
    { options: { topLogprobs: 1 }, says: /topLogprobs: expected a number of at least 2/ },
    { options: { url: 'localhost:8000' }, says: /url: expected an address that begins with http/ },
    { options: { timeout: 301 }, says: /timeout: expected a number of at most 300/ },
    { options: { cache: { entires: 1 } }, says: /cache.entires: unknown key; did you mean "entries"/ },
    { options: { maxToken: 1 }, says: /maxToken: unknown key; did you mean "maxTokens"/ },
  ])('nothing with bad options: $options', ({ options, says }) => {
    expect(() => openaiReward({ model: 'm', ...(options as object) })).toThrow(says);
  });
});

describe('yes or no', () => {
  const spellings = {
    yes: 0.2,
    Yes: 0.3,
    ' yes': 0.05,
    ' Yes': 0.05,
    YES: 0.01,
    '▁Yes': 0.01,
    ĠYes: 0.01,
    '"Yes"': 0.01,
  };
  const p = 0.64;
  const others = { No: 0.1, no: 0.05, ' no.': 0.01, not: 0.1, yesterday: 0.05, ' ': 0.02 };
  const odds = p / 0.16;
  it('sums all spellings of both sides, and nothing else', async () => {
    const answer = json(completion([{ ...spellings, ...others }]));
    expect((await asked(answer)).result).toBeCloseTo(p / (p + 0.16), 6);
    expect((await asked(answer, { answer: 'log-odds' })).result).toBeCloseTo(Math.log(odds), 6);
  });

  it('is read from the first token that is not white space', async () => {
    const answer = json(completion([{ '\n': 1 }, { ' ': 1 }, { no: 0.75, yes: 0.25 }, { yes: 1 }]));
    expect((await asked(answer)).result).toBeCloseTo(0.25, 6);
  });

  it.each([
    { what: 'the rest, where that is less', listed: { yes: 0.9, maybe: 0.09 }, odds: 0.9 / 0.01 },
    { what: 'the least that is listed, where that is', listed: { no: 0.9, maybe: 0.001 }, odds: 0.001 / 0.9 },
    { what: '1e-9, where nothing is left', listed: { yes: 1 }, odds: 1e9 },
    { what: '1e-9, where what is listed has no chance', listed: { no: 1, yes: 0 }, odds: 1e-9 },
  ])('a side that is not listed counts with $what', async ({ listed, odds }) => {
    const answer = json(completion([listed as unknown as Listed]));
    expect((await asked(answer, { answer: 'log-odds' })).result).toBeCloseTo(Math.log(odds), 4);
    expect((await asked(answer)).result).toBe(odds > 1 ? 1 : 0);
  });

  it('takes -Infinity, as Python writes it', async () => {
    const body = JSON.stringify(completion([{ yes: 0.5, no: 0 }]));
    expect(body).toContain('"logprob":null');
    expect((await asked(text(body.replace('"logprob":null', '"logprob":-Infinity')))).result).toBe(1);
  });

  it.each([
    { what: 'neither is listed', answer: completion([{ The: 0.9, A: 0.1 }], 'The image'), quoted: '"The image"' },
    { what: 'there is no token', answer: completion([], ''), quoted: '""' },
  ])('is no answer where $what', async ({ answer, quoted }) => {
    const { result, requests } = await asked(json(answer));
    expect(result).toContain(
      `no answer about an image for "a fox": neither yes nor no is among its first tokens; it answered ${quoted}`,
    );
    expect(requests).toHaveLength(1);
    expect((await asked(json(answer), { required: false })).result).toBeNaN();
  });

  it.each([
    { what: 'has no logprobs', answer: saying('yes'), says: 'its answer has no logprobs: take a model or a service' },
    { what: 'has null for them', answer: { choices: [{ message: {}, logprobs: null }] }, says: 'has no logprobs' },
    { what: 'has no choice', answer: { choices: [] }, says: 'answer.choices: expected an array of at least 1 items' },
    { what: 'is an error', answer: { error: { message: 'no model' } }, says: 'answer.choices: expected an array, but' },
    {
      what: 'has strings for logarithms',
      answer: JSON.parse(JSON.stringify(completion([{ yes: 1 }])).replaceAll('"logprob":0', '"logprob":"0"')) as object,
      says: 'logprobs.content[0].top_logprobs[0].logprob: expected a number',
    },
  ])('is refused from a service whose answer $what', async ({ answer, says }) => {
    for (const required of [true, false]) {
      const { result, requests } = await asked(json(answer), { required });
      expect(result).toContain(says);
      expect(requests).toHaveLength(1);
    }
  });
});

describe('a number', () => {
  it.each([
    { says: '7', value: 7 },
    { says: 'I would say 7.5 out of 10.', value: 7.5 },
    { says: '8/10', value: 8 },
    { says: '**3**', value: 3 },
    { says: 'Score:9', value: 9 },
    { says: '.5', value: 0.5 },
    { says: '0', value: 0 },
    { says: 'SD3 gets a 4', value: 4 },
    { says: '10', value: 10 },
  ])('is the first of $says', async ({ says, value }) => {
    expect((await asked(json(saying(says)), { answer: 'number' })).result).toBe(value);
  });

  it('may be negative, with either minus, where the range is', async () => {
    for (const says of ['-2', 'about −2.'])
      expect((await asked(json(saying(says)), { answer: 'number', range: [-5, 5] })).result).toBe(-2);
  });

  it.each([
    { answer: saying('a fine fox'), why: 'it answered without a number: "a fine fox"' },
    { answer: saying(null), why: 'it answered without a number: ""' },
    { answer: saying('11'), why: 'it answered "11", expected a number from 0 to 10' },
    { answer: saying('-1'), why: 'it answered "-1", expected a number from 0 to 10' },
    {
      answer: saying('I give it a 1', 'length'),
      why: 'its answer was cut off within a number, "I give it a 1"; raise',
    },
  ])('is missing where $why', async ({ answer, why }) => {
    const { result, requests } = await asked(json(answer), { answer: 'number' });
    expect(result).toContain(`no answer about an image for "a fox": ${why}`);
    expect(requests).toHaveLength(1);
    expect((await asked(json(answer), { answer: 'number', required: false })).result).toBeNaN();
  });

  it('counts where its answer was cut off after it', async () => {
    expect((await asked(json(saying('6 because', 'length')), { answer: 'number' })).result).toBe(6);
  });
});

it('takes images of three channels and of one', async () => {
  await using service = await TestService.start(yes);
  const reward = openaiReward({ url: service.url, model: 'm' });
  for (const channels of [1, 3]) {
    const images = Tensor.from(new Float32Array(channels * 4), [1, channels, 2, 2]);
    expect((await score(reward, images, ['a'], {})).values[0]).toBeCloseTo(0.8, 6);
  }
});

it('is configured as docs/reward-services.md says', () => {
  const page = readFileSync(new URL('../../docs/reward-services.md', import.meta.url), 'utf8');
  const { rewards } = JSON.parse(`{${/^```json\n(.*?)^```$/ms.exec(page)![1]}}`) as { rewards: unknown[] };
  expect(rewards.map((reward) => rewardSchema.parse(reward).name)).toEqual(['http', 'openai']);
});
