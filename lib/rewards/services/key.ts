import { ConfigError } from '../../errors.js';
import { withoutValue } from '../../schema/secrets.js';
import { expected } from '../../schema/validate.js';

/** A key for a service, from the environment. It is in no message, and nothing that is written can hold it. */
export class Key {
  readonly #value: string;

  private constructor(
    value: string,
    /** The environment variable that it is from. */
    readonly variable: string,
    private readonly name: string,
  ) {
    this.#value = value;
  }

  /**
   * @param header which header carries it; `authorization` does as a bearer token
   * @throws ConfigError for a variable that is not set, or holds what no header can
   */
  static fromEnvironment(variable: string, header: string): Key {
    // A file that a shell read it from often ends with a new line.
    const value = process.env[variable]?.trim();
    if (!value)
      throw new ConfigError(
        `keyFrom: the environment variable ${variable} is not set; set it to the service's key, or leave keyFrom out ` +
          'where the service needs none',
      );
    if (!/^[\x20-\x7e]+$/.test(value))
      throw new ConfigError(expected('keyFrom', `a key in printable ASCII in ${variable}`, 'other characters'));
    return new Key(value, variable, header);
  }

  /** What a request carries it in. */
  header(): Record<string, string> {
    return { [this.name]: this.name.toLowerCase() === 'authorization' ? `Bearer ${this.#value}` : this.#value };
  }

  /** The text without the key in it: services repeat what they were sent in their errors. */
  removedFrom(text: string): string {
    return withoutValue(text, this.#value, `the key of ${this.variable}`);
  }
}
