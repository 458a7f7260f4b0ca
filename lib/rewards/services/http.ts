import { z } from 'zod';

import { expected, validate } from '../../schema/validate.js';
import { rewardKind, weight } from '../reward-kind.js';
import { checkAnswer } from './answer-json.js';
import { Fault } from './faults.js';
import {
  serviceReward,
  type Answer,
  type Question,
  type ServiceReward,
  type ServiceSurroundings,
} from './service-reward.js';
import { serviceShape, serviceUrl, type ServiceOptions } from './settings.js';

/** Options of {@link httpReward}. */
export interface HttpRewardOptions extends ServiceOptions {
  /** Where images are posted to. */
  url: string;
  /** Images a request; 0: all of a batch. @defaultValue 8 */
  batch?: number | undefined;
}

export const httpOptionsSchema = z.strictObject({
  ...serviceShape,
  url: serviceUrl.describe('Images are posted to this address.'),
  batch: z.int().min(0).default(8).describe('A request has this many images; with 0 it has all of a batch.'),
});

const answerSchema = z.object({
  results: z.array(z.number().nullable()),
  errors: z.array(z.string().nullable()).optional(),
});

/**
 * A reward that a server computes: PNGs and their prompts are posted to it as JSON, and it answers with a number each
 * (docs/reward-services.md has the protocol). It gives values alone, never a gradient.
 * @throws ConfigError for options out of range, a key that is not in the environment, and a cache that cannot be used
 */
export function httpReward(options: HttpRewardOptions, surroundings: ServiceSurroundings = {}): ServiceReward {
  const settings = validate(httpOptionsSchema, options, 'httpReward options');
  const { url, batch } = settings;
  const service = {
    name: 'http',
    url,
    identity: { url },
    batch,
    body: (questions: readonly Question[]) => ({
      images: questions.map(({ png }) => Buffer.from(png).toString('base64')),
      prompts: questions.map(({ prompt }) => prompt),
    }),
    read: readAnswers,
  };
  return serviceReward(service, settings, surroundings);
}

function readAnswers(json: unknown, count: number): Answer[] {
  const { results, errors = results.map(() => null) } = checkAnswer(answerSchema, json);
  for (const [name, { length }] of Object.entries({ results, errors }))
    if (length !== count)
      throw new Fault('wrong', expected(`answer.${name}`, `${count} entries, one an image`, length));
  return results.map((result, index) => {
    const error = errors[index]!;
    if (error !== null) return { missing: `errors[${index}]: ${error}` };
    // Past float32 is not finite, either.
    if (result !== null && Number.isFinite(Math.fround(result))) return result;
    return { missing: expected(`results[${index}]`, 'a finite number', String(result)) };
  });
}

export const httpKind = rewardKind({
  schema: z.strictObject({
    name: z.literal('http').describe('The name says which reward.'),
    weight,
    ...httpOptionsSchema.shape,
  }),
  differentiable: () => false,
  create: ({ name: _, weight: __, ...options }, _device, { onNote }) => httpReward(options, { onNote }),
  locate: async () => [],
});
