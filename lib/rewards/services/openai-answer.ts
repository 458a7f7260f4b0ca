import { z } from 'zod';

import { checkAnswer } from './answer-json.js';
import { excerpt, Fault } from './faults.js';
import type { Answer } from './service-reward.js';

const tokenSchema = z.object({
  token: z.string(),
  top_logprobs: z.array(z.object({ token: z.string(), logprob: z.number().nullable() })),
});

const completionSchema = z.object({
  choices: z
    .array(
      z.object({
        message: z.object({ content: z.string().nullish() }),
        finish_reason: z.string().nullish(),
        logprobs: z.object({ content: z.array(tokenSchema).nullish() }).nullish(),
      }),
    )
    .min(1),
});

/** What of a completion is scored. */
export type Completion = z.output<typeof completionSchema>['choices'][number];

/** @throws Fault for what is no completion */
export const readCompletion = (json: unknown): Completion => checkAnswer(completionSchema, json).choices[0]!;

/** A token without what says nothing: case, quotes, and white space, as SentencePiece and GPT-2 write it too. */
const wordOf = (token: string): string =>
  token
    .replace(/[\s▁Ġ]+/g, ' ')
    .replace(/^[\s"'*]+|[\s"'*.,!]+$/g, '')
    .toLowerCase();

/** Keeps log-odds finite where a service leaves nothing for the other side. */
const leastProbability = 1e-9;

/**
 * The odds of "yes" against "no" as the first token of an answer that is not white space: the sums of the
 * probabilities of all their spellings.
 * @param form with `log-odds`, a side that is not listed counts with the most that it can have: the smallest
 *   probability that is listed, or what the listed ones leave of 1
 * @throws Fault for a service that gives no log-probabilities
 */
export function yesOrNo({ logprobs, message }: Completion, form: 'probability' | 'log-odds'): Answer {
  if (!logprobs?.content)
    throw new Fault(
      'wrong',
      'its answer has no logprobs: take a model or a service that gives them, or "answer": "number"',
    );
  const first = logprobs.content.find(({ token }) => wordOf(token) !== '');
  // JSON has no word for the logarithm of 0.
  const listed = (first?.top_logprobs ?? []).map(({ token, logprob }) => ({
    word: wordOf(token),
    probability: Math.exp(logprob ?? -Infinity),
  }));
  const sum = (words: typeof listed) => words.reduce((total, { probability }) => total + probability, 0);
  const [yes, no] = ['yes', 'no'].map((side) => sum(listed.filter(({ word }) => word === side))) as [number, number];
  if (!(yes + no > 0))
    return { missing: `neither yes nor no is among its first tokens; it answered ${excerpt(message.content ?? '')}` };
  if (form === 'probability') return yes / (yes + no);
  const most = Math.min(1 - sum(listed), ...listed.map(({ probability }) => probability));
  const floor = Math.max(most, leastProbability);
  return Math.log(yes || floor) - Math.log(no || floor);
}

/** The first number of an answer, which has to be within the range. */
export function firstNumber({ message, finish_reason }: Completion, [least, most]: readonly [number, number]): Answer {
  const text = (message.content ?? '').replaceAll('−', '-');
  const found = /(?<![\w.])-?(?:\d+(?:\.\d+)?|\.\d+)/.exec(text);
  if (!found) return { missing: `it answered without a number: ${excerpt(text)}` };
  if (finish_reason === 'length' && found.index + found[0].length >= text.trimEnd().length)
    return { missing: `its answer was cut off within a number, ${excerpt(text)}; raise maxTokens` };
  const value = Number(found[0]);
  return value >= least && value <= most
    ? value
    : { missing: `it answered ${excerpt(text)}, expected a number from ${least} to ${most}` };
}
