import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';

import pLimit from 'p-limit';

import { ConfigError, isError } from '../../errors.js';
import { Origin, setOrigin } from '../../files/origin.js';
import { encodeEach } from '../../files/png/write.js';
import { expected } from '../../schema/validate.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { ArrayReward, ArrayScore, Reward, ScoreOptions } from '../reward.js';
import { AnswerCache } from './answer-cache.js';
import { parseAnswer } from './answer-json.js';
import { type Fault, ServiceError } from './faults.js';
import { Key } from './key.js';
import { realPacing, type Pacing } from '../../runtime/pacing.js';
import { GaveUp, retried } from './retries.js';
import type { ServiceSettings } from './settings.js';
import { post, type Endpoint } from './transport.js';

/** A value, or why there is none. */
export type Answer = number | { missing: string };

/** What is asked about one image. */
export interface Question {
  png: Uint8Array;
  prompt: string;
}

/** How a service is asked. */
export interface Service {
  /** The kind's name. */
  name: string;
  url: string;
  /** All that its values depend on; JSON. */
  identity: unknown;
  /** Questions a request. */
  batch: number;
  /** The body of a request; JSON. */
  body(questions: readonly Question[]): unknown;
  /** One answer a question. @throws Fault for an answer that is none */
  read(json: unknown, count: number): Answer[];
}

/** What a reward has asked so far. */
export interface ServiceTally {
  /** Requests, with those that were repeated. */
  requests: number;
  /** Requests that were repeated. */
  retries: number;
  /** Images whose answer was known from before. */
  cached: number;
  /** Images that got no answer. */
  missing: number;
}

/** A reward whose values come from a service, without a gradient. */
export interface ServiceReward extends ArrayReward {
  readonly differentiable: false;
  /** What it has asked so far. */
  readonly tally: Readonly<ServiceTally>;
  /** The requests of this moment. */
  readonly queue: RequestQueue;
}

/** These are the requests to a service at one moment. */
export interface RequestQueue {
  /** So many are under way. */
  running: number;
  /** So many wait for their turn. */
  waiting: number;
}

/** Tells whether a reward asks a service. */
export const isServiceReward = (reward: Reward): reward is ServiceReward => reward instanceof AskedService;

/** What a program may decide beside the options. */
export interface ServiceSurroundings {
  /** Time and chance; default: the machine's. */
  pacing?: Pacing | undefined;
  /** Told, once each, that answers are missing, and that the folder of answers cannot be written. */
  onNote?: ((message: string) => void) | undefined;
}

/** @throws ConfigError for a key that is not there, and a folder that cannot be used */
export function serviceReward(
  service: Service,
  settings: ServiceSettings,
  surroundings: ServiceSurroundings,
): ServiceReward {
  const reward = new AskedService(service, settings, surroundings);
  setOrigin(reward, async () => Origin.ofSettings([service.name, service.identity]));
  return reward;
}

interface Asked extends Question {
  key: string;
}

class AskedService implements ServiceReward {
  readonly name: string;
  readonly differentiable = false;
  readonly tally: ServiceTally = { requests: 0, retries: 0, cached: 0, missing: 0 };
  readonly #endpoint: Endpoint;
  readonly #cache: AnswerCache;
  readonly #limit;
  readonly #noted = new Set<string>();

  constructor(
    private readonly service: Service,
    private readonly settings: ServiceSettings,
    private readonly surroundings: ServiceSurroundings,
  ) {
    const { label = service.name, keyFrom, keyHeader, headers, concurrency, cache } = settings;
    this.name = label;
    const key = keyFrom === undefined ? undefined : Key.fromEnvironment(keyFrom, keyHeader);
    if (!key && keyHeader !== 'authorization')
      throw new ConfigError(expected('keyFrom', 'an environment variable for the key in keyHeader', 'none'));
    this.#endpoint = { url: new URL(service.url), headers, key };
    this.#cache = new AnswerCache(cache.entries, cache.directory);
    this.#limit = pLimit(concurrency);
  }

  get queue(): RequestQueue {
    return { running: this.#limit.activeCount, waiting: this.#limit.pendingCount };
  }

  async score(images: Tensor, prompts: readonly string[], { signal }: ScoreOptions = {}): Promise<ArrayScore> {
    signal?.throwIfAborted();
    const questions = (await encodeEach(images)).map((png, image) => png && this.#question(png, prompts[image]!));
    const values = new Map<string, number>();
    // Two images that are the same are one question.
    const unknown = new Map<string, Asked>();
    for (const question of questions) {
      if (!question) continue;
      const value = await this.#cache.get(question.key);
      if (value === undefined) unknown.set(question.key, question);
      else {
        values.set(question.key, value);
        this.tally.cached++;
      }
    }
    await this.#askAll([...unknown.values()], values, signal);
    return { values: Float32Array.from(questions, (question) => (question && values.get(question.key)) ?? NaN) };
  }

  #question(png: Uint8Array, prompt: string): Asked {
    const about = JSON.stringify([this.service.name, this.service.identity, this.settings.headers, prompt]);
    return { png, prompt, key: createHash('sha256').update(about).update('\n').update(png).digest('hex') };
  }

  /** Asks, so many at once. The first failure ends all that is under way, and so does the signal. */
  async #askAll(questions: readonly Asked[], values: Map<string, number>, signal: AbortSignal | undefined) {
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const stopped = new Promise((resolve) => stop.signal.addEventListener('abort', resolve, { once: true }));
    const onAbort = () => stop.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    const size = this.service.batch || questions.length;
    try {
      const asked: Promise<void>[] = [];
      for (let first = 0; first < questions.length; first += size)
        asked.push(
          this.#limit(() => this.#ask(questions.slice(first, first + size), values, stop.signal)).catch((error) =>
            stop.abort(error),
          ),
        );
      await Promise.race([Promise.all(asked), stopped]);
      stop.signal.throwIfAborted();
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async #ask(questions: readonly Asked[], values: Map<string, number>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const answers = await this.#answers(questions, signal);
    for (const [index, answer] of answers.entries()) {
      const { key, prompt } = questions[index]!;
      if (typeof answer === 'number') {
        values.set(key, answer);
        await this.#keep(key, answer);
      } else this.#miss(prompt, answer.missing);
    }
  }

  async #answers(questions: readonly Question[], signal: AbortSignal): Promise<Answer[]> {
    const { service } = this;
    const body = JSON.stringify(service.body(questions));
    const onTry = (tries: number) => {
      this.tally.requests++;
      if (tries > 1) this.tally.retries++;
    };
    const pacing = this.surroundings.pacing ?? realPacing;
    try {
      return await retried(
        async (trial) => service.read(parseAnswer(await post(this.#endpoint, body, trial)), questions.length),
        this.settings,
        { pacing, signal, onTry },
      );
    } catch (error) {
      if (!(error instanceof GaveUp)) throw error;
      const { fault, tries } = error;
      if (fault.kind === 'wrong') throw this.#error(fault.message, fault);
      const missing = `no answer in ${tries} ${tries === 1 ? 'try' : 'tries'}; the last: ${fault.message}`;
      if (this.settings.required) throw this.#error(`${missing}; ${leftOut}`, fault);
      return questions.map(() => ({ missing }));
    }
  }

  #miss(prompt: string, why: string): void {
    this.tally.missing++;
    const what = `no answer about an image for ${JSON.stringify(prompt)}: ${why}`;
    if (this.settings.required) throw this.#error(`${what}; ${leftOut}`);
    this.#note('missing', `${what}; such images have no value, and logs count them from here on`);
  }

  async #keep(key: string, value: number): Promise<void> {
    try {
      await this.#cache.set(key, value);
    } catch (error) {
      const problem = isError(error) ? error.message : String(error);
      this.#note('unwritten', `an answer could not be written, and is asked for again by later runs: ${problem}`);
    }
  }

  #note(kind: string, message: string): void {
    if (this.#noted.has(kind)) return;
    this.#noted.add(kind);
    this.surroundings.onNote?.(this.#say(message));
  }

  #error(problem: string, cause?: Fault): ServiceError {
    return new ServiceError(this.#say(problem), { cause });
  }

  #say(message: string): string {
    const { url, key } = this.#endpoint;
    const text = `${this.name} at ${url.origin}${url.pathname}: ${message}`;
    return key?.removedFrom(text) ?? text;
  }
}

const leftOut = 'with "required": false its images are left out of the step';
