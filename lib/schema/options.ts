// Checks of what programs hand to the public functions: JavaScript knows no types, and what is misspelt would be
// believed to have been used.

import { z } from 'zod';

import { validate } from './validate.js';

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** A function. */
export const callback = z.custom<(...args: never[]) => unknown>(
  (value) => typeof value === 'function',
  'expected a function',
);

/** An object that has these members, whatever else it is. @param what it is, for messages */
export const objectWith = (what: string, ...members: string[]) =>
  z.custom<object>((value) => isObject(value) && members.every((member) => member in value), `expected ${what}`);

export const abortSignal = objectWith('an AbortSignal', 'aborted', 'addEventListener');

/** A seed of 64 bits. */
export const seed64 = z
  .bigint()
  .min(0n)
  .max(2n ** 64n - 1n);

/**
 * Checks an argument that is a path or another text.
 * @param name the argument's
 * @param source the function's name
 * @throws ConfigError for anything but a text that is not empty
 */
export function checkText(value: unknown, name: string, source: string): void {
  validate(z.object({ [name]: z.string().min(1) }), { [name]: value }, source);
}

/**
 * Checks options whose members may all be left out, undefined among them; they stay as they are.
 * @param source such as `loadModel options`
 * @throws ConfigError for an unknown key, or a value of another type
 */
export function checkOptions(shape: Record<string, z.ZodType>, options: unknown, source: string): void {
  const members = Object.entries(shape).map(([name, member]) => [name, member.optional()] as const);
  // A member that is undefined is left out, whatever it is called: options are often passed on from others.
  const given = isObject(options)
    ? Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
    : options;
  validate(z.strictObject(Object.fromEntries(members)), given, source);
}
