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
