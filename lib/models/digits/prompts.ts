import { expected } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';

const words = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];

/**
 * The digit that a prompt asks for: a prompt holds exactly one, as a figure or as a word (`'3'`,
 * `'a handwritten three'`).
 * @throws ConfigError
 */
export function digitOf(prompt: string): number {
  const asked = (prompt.toLowerCase().match(/[0-9]+|[a-z]+/g) ?? [])
    .map((word) => (/^[0-9]$/.test(word) ? Number(word) : words.indexOf(word)))
    .filter((digit) => digit >= 0);
  if (asked.length === 1 && !/[0-9]{2}/.test(prompt)) return asked[0]!;
  throw new ConfigError(
    expected('prompt', 'exactly one digit, such as "3" or "a handwritten three"', JSON.stringify(prompt)),
  );
}

/** The classes of a model: their names, or else numbers. */
export interface Classes {
  classes: number;
  prompts?: readonly string[] | undefined;
}

/**
 * The class that a prompt asks for: by its name where classes have such, else by its number, which up to ten of them
 * may be a word of a longer text.
 * @throws ConfigError for a prompt that asks for none
 */
export function classOf(prompt: string, { classes, prompts }: Classes): number {
  if (prompts) {
    const found = prompts.indexOf(prompt);
    if (found >= 0) return found;
    const known = prompts.slice(0, 12).map((name) => JSON.stringify(name));
    const more = prompts.length > known.length ? ` and ${prompts.length - known.length} more` : '';
    throw new ConfigError(
      expected('prompt', `one that this model knows, ${known.join(', ')}${more}`, JSON.stringify(prompt)),
    );
  }
  if (classes > 10) {
    const number = /^\d{1,9}$/.test(prompt.trim()) ? Number(prompt) : classes;
    if (number < classes) return number;
    throw new ConfigError(
      expected('prompt', `a number from 0 to ${classes - 1}, a class of this model`, JSON.stringify(prompt)),
    );
  }
  const digit = digitOf(prompt);
  if (digit < classes) return digit;
  throw new ConfigError(
    expected('prompt', `a digit from 0 to ${classes - 1}, which this model knows`, JSON.stringify(prompt)),
  );
}
