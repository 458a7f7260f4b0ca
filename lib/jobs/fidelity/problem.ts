import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { readJson } from '../../schema/json.js';
import { schemaAddress } from '../../schema/configuration.js';
import { validate } from '../../schema/validate.js';
import { shippedDirectory } from '../../runtime/package.js';

const numbers = z.array(z.number());

/**
 * A problem file: data Σ weights_i N(means_i, std² I), tilted by exp(λ r), r(x) = Σ linear·x − ½ Σ quadratic·(x −
 * center)².
 */
export const problemSchema = z
  .strictObject({
    $schema: schemaAddress,
    means: z.array(numbers.min(1)).min(1).describe('Each mode has its mean here, with a number a dimension.'),
    std: z.number().gt(0).describe('Every mode has this standard deviation in every dimension.'),
    weights: z
      .array(z.number().gt(0))
      .optional()
      .describe('The modes have these weights, which need not sum to 1; left out, they are equal.'),
    reward: z
      .strictObject({
        linear: numbers
          .optional()
          .describe('The linear part of the reward has these coefficients, one a dimension; left out, they are 0.'),
        quadratic: numbers
          .optional()
          .describe('The quadratic part has these curvatures, one a dimension; left out, they are 0.'),
        center: numbers.optional().describe('The quadratic part is 0 at this point; left out, it is the origin.'),
      })
      .describe('The reward is r(x) = Σ linear·x − ½ Σ quadratic·(x − center)².'),
    lambda: z.number().min(0).describe('λ is the tilt: the target is in proportion to e^{λ r} times the data.'),
  })
  .superRefine(({ means, weights, reward }, context) => {
    const dimensions = means[0]!.length;
    const agree = (values: readonly number[] | undefined, length: number, of: string, path: PropertyKey[]) => {
      if (!values || values.length === length) return;
      context.addIssue({ code: 'custom', path, message: `expected ${length} numbers, as many as ${of}` });
    };
    for (const [mode, mean] of means.entries()) agree(mean, dimensions, 'means[0]', ['means', mode]);
    agree(weights, means.length, 'there are means', ['weights']);
    for (const part of ['linear', 'quadratic', 'center'] as const)
      agree(reward[part], dimensions, 'means[0]', ['reward', part]);
  })
  .transform(({ means, std, weights, reward, lambda }) => {
    const zeros = means[0]!.map(() => 0);
    const total = weights?.reduce((sum, weight) => sum + weight, 0);
    return {
      means,
      std,
      weights: means.map((_, mode) => (weights && total ? weights[mode]! / total : 1 / means.length)),
      reward: { linear: reward.linear ?? zeros, quadratic: reward.quadratic ?? zeros, center: reward.center ?? zeros },
      lambda,
    };
  });

/**
 * r(x) = Σ linear·x − ½ Σ quadratic·(x − center)², each with one number a dimension; zeros where a file leaves one out.
 */
export interface ProblemReward {
  /** ∇r at the center. */
  linear: number[];
  /** Curvatures. A negative one that outweighs the data's leaves the tilted target without a density: an error. */
  quadratic: number[];
  /** Where the quadratic part is zero. */
  center: number[];
}

/**
 * Data Σ weights_i N(means_i, std² I) and the reward that it is tilted by, as {@link readProblem} reads them from a
 * file.
 */
export interface Problem {
  /** One a mode, each with as many numbers as there are dimensions. */
  means: number[][];
  /** Standard deviation of every mode in every dimension, > 0. */
  std: number;
  /** One a mode, > 0; scaled to sum to 1, equal where a file leaves them out. */
  weights: number[];
  /** r. */
  reward: ProblemReward;
  /** λ ≥ 0: the target is p*(x) ∝ p(x) e^{λ r(x)}. */
  lambda: number;
}

/** The problems that come with the package. */
function shippedProblems(): string[] {
  return readdirSync(shippedDirectory('problems'))
    .map((file) => file.replace(/\.json$/, ''))
    .sort();
}

/**
 * @param source the name of a shipped problem or a file
 * @throws ConfigError that names the path of what is wrong
 */
export async function readProblem(source: string): Promise<Problem> {
  const shipped = shippedProblems().includes(source);
  const path = shipped ? join(shippedDirectory('problems'), `${source}.json`) : source;
  return validate(problemSchema, await readJson(path, { comments: true }), path);
}
