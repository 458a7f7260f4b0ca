// Keys and passwords belong into the environment. Where somebody wrote one into a configuration all the same, no
// message may repeat it.

const ends = '(?:auth|authorization|cookie|key|token|secret|password|credentials?|signature)';
const atEnd = new RegExp(`${ends}$`, 'i');
/** A secret's name, and all that follows it: where its value ends, only the text's own grammar could tell. */
const andOn = new RegExp(String.raw`((?:${ends}|keyFrom)\\*["']?\s*[:=]).*$`, 'is');

/** Whether a header, a member or a parameter of this name holds a key by custom: `authorization`, `x-api-key`. */
export const isSecretName = (name: string): boolean => atEnd.test(name);

/** A text such as `name=value`, up to the first value that may be a secret. */
export const withoutSecrets = (text: string): string => text.replace(andOn, '$1…');

/** JSON.stringify without the values of secret names. @throws what that throws */
export const jsonWithoutSecrets = (json: unknown): string =>
  JSON.stringify(json, (name, value: unknown) => {
    // Whoever mistakes keyFrom writes the key there.
    if (isSecretName(name) || name === 'keyFrom') return '…';
    return typeof value === 'string' ? withoutSecrets(value) : value;
  });

/** What JSON.parse found, without the piece of the text that it quotes. */
export const jsonProblem = (error: unknown): string => (error as Error).message.replace(/, (?:\.\.\.)?".*$/s, '');

/**
 * A text without a secret in it, in the forms in which services repeat what they were sent.
 * @param named stands for it
 */
export function withoutValue(text: string, secret: string, named: string): string {
  const forms = new Set([secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]);
  return [...forms].reduce((rest, form) => rest.replaceAll(form, `[${named}]`), text);
}
