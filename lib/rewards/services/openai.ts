import { z } from 'zod';

import { pngAddress } from '../../files/png/address.js';
import { isSecretName } from '../../schema/secrets.js';
import { validate } from '../../schema/validate.js';
import { rewardKind, weight } from '../reward-kind.js';
import { firstNumber, readCompletion, yesOrNo } from './openai-answer.js';
import { serviceReward, type Question, type ServiceReward, type ServiceSurroundings } from './service-reward.js';
import { serviceShape, serviceUrl, type ServiceOptions } from './settings.js';

/** Options of {@link openaiReward}. */
export interface OpenaiRewardOptions extends ServiceOptions {
  /** Where the interface begins; `/chat/completions` is added to it. @defaultValue 'https://api.openai.com/v1' */
  url?: string | undefined;
  /** A model that reads images, as the service names it. */
  model: string;
  /**
   * What is asked about each image; `{prompt}` stands for its prompt, `{min}` and `{max}` for the range. Default:
   * whether the image shows the prompt, or how well.
   */
  question?: string | undefined;
  /**
   * How the answer becomes a value. `'probability'`: p(yes) / (p(yes) + p(no)) of its first token; `'log-odds'`: the
   * logarithm of p(yes) / p(no); `'number'`: the first number that it has. @defaultValue 'probability'
   */
  answer?: 'probability' | 'log-odds' | 'number' | undefined;
  /** The least and the largest number that is taken; another one is no answer. @defaultValue [0, 10] */
  range?: readonly [min: number, max: number] | undefined;
  /** Tokens an answer may have. @defaultValue 16 */
  maxTokens?: number | undefined;
  /** Candidates for the first token that are asked for; services allow 5 to 20. @defaultValue 20 */
  topLogprobs?: number | undefined;
  /** Further members of a request's body, which replace those of the same name; null leaves one out. */
  body?: Readonly<Record<string, unknown>> | undefined;
}

const placeholders = ['prompt', 'min', 'max'];
const question = z
  .string()
  .min(1)
  .superRefine((text, context) => {
    const unknown = Array.from(text.matchAll(/\{(\w+)\}/g), ([, name]) => name!).find(
      (name) => !placeholders.includes(name),
    );
    if (unknown !== undefined) context.addIssue(`expected only {prompt}, {min} and {max} in braces, not {${unknown}}`);
  });

const body = z.record(z.string(), z.unknown()).superRefine((members, context) => {
  for (const name of Object.keys(members).filter(isSecretName))
    context.addIssue({
      code: 'custom',
      path: [name],
      params: { secret: true },
      message: 'expected no key here; name its environment variable in keyFrom',
    });
});

export const openaiOptionsSchema = z.strictObject({
  ...serviceShape,
  url: serviceUrl.default('https://api.openai.com/v1').describe('The interface begins at this address.'),
  model: z.string().min(1).describe('This model, which reads images, is asked.'),
  question: question
    .optional()
    .describe('This is asked about each image; left out, the kind of answer has a question of its own.'),
  answer: z
    .enum(['probability', 'log-odds', 'number'])
    .default('probability')
    .describe('The answer becomes a value as this says.'),
  range: z
    .tuple([z.number(), z.number()])
    .refine(([min, max]) => min < max, 'expected a smaller number and a larger one')
    .readonly()
    .default([0, 10])
    .describe('Numbers of this range are taken, its ends included.'),
  maxTokens: z.int().min(1).default(16).describe('An answer may have this many tokens.'),
  topLogprobs: z.int().min(2).max(100).default(20).describe('This many candidates for the first token are asked for.'),
  body: body.default({}).describe("A request's body has these members, too."),
});

const questions = {
  'yes or no': 'Does this image show the following? "{prompt}" Answer with yes or no alone.',
  number:
    'How well does this image show the following? "{prompt}" Answer with a number alone, from {min} (not at all) to ' +
    '{max} (in every detail).',
};

/**
 * A reward that a vision model computes behind any interface that is compatible with OpenAI's `/v1/chat/completions`:
 * it is asked a question about each image. It gives values alone, never a gradient.
 * @throws ConfigError for options out of range, a key that is not in the environment, and a cache that cannot be used
 */
export function openaiReward(options: OpenaiRewardOptions, surroundings: ServiceSurroundings = {}): ServiceReward {
  const settings = validate(openaiOptionsSchema, options, 'openaiReward options');
  const { url, model, answer, range, maxTokens, topLogprobs, body: more } = settings;
  const isNumber = answer === 'number';
  const { question: template = questions[isNumber ? 'number' : 'yes or no'] } = settings;
  const members = {
    model,
    max_tokens: maxTokens,
    temperature: 0,
    ...(!isNumber && { logprobs: true, top_logprobs: topLogprobs }),
    ...more,
  };
  const fixed = Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
  const endpoint = new URL(url);
  endpoint.pathname = `${endpoint.pathname.replace(/\/+$/, '')}/chat/completions`;
  const [min, max] = range;
  const asked = (prompt: string) => {
    const values: Record<string, unknown> = { prompt, min, max };
    return template.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]));
  };
  return serviceReward(
    {
      name: 'openai',
      url: endpoint.href,
      identity: { url, template, answer, ...(isNumber && { range }), ...fixed },
      batch: 1,
      body: ([{ png, prompt }]: readonly [Question]) => ({
        ...fixed,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: asked(prompt) },
              { type: 'image_url', image_url: { url: pngAddress(png) } },
            ],
          },
        ],
      }),
      read(json) {
        const completion = readCompletion(json);
        return [isNumber ? firstNumber(completion, range) : yesOrNo(completion, answer)];
      },
    },
    settings,
    surroundings,
  );
}

export const openaiKind = rewardKind({
  schema: z.strictObject({
    name: z.literal('openai').describe('The name says which reward.'),
    weight,
    ...openaiOptionsSchema.shape,
  }),
  differentiable: () => false,
  create: ({ name: _, weight: __, ...options }, _device, { onNote }) => openaiReward(options, { onNote }),
  locate: async () => [],
});
