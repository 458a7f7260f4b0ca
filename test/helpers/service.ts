// Small servers on the loopback interface, and a clock that the test moves.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Pacing } from '../../lib/runtime/pacing.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: whatever was sent
  body: any;
}

/** Answers request number `index`, from 0, or leaves it open. */
export type Handler = (received: Received, response: ServerResponse, index: number) => unknown;

export class TestService implements AsyncDisposable {
  readonly requests: Received[] = [];
  #open = 0;
  #onRequest: (() => void)[] = [];
  #onIdle: (() => void)[] = [];
  readonly #server;

  private constructor(handler: Handler) {
    this.#server = createServer((request, response) => {
      this.#open++;
      response.on('close', () => {
        if (--this.#open === 0) for (const wake of this.#onIdle.splice(0)) wake();
      });
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const body = text && (JSON.parse(text) as unknown);
        const received = { path: request.url!, headers: request.headers, body };
        const index = this.requests.push(received) - 1;
        void handler(received, response, index);
        for (const wake of this.#onRequest.splice(0)) wake();
      });
    });
  }

  static async start(handler: Handler): Promise<TestService> {
    const service = new TestService(handler);
    await new Promise<void>((resolve) => service.#server.listen(0, '127.0.0.1', resolve));
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/score`;
  }

  /** Waits until so many requests have come. */
  async received(count: number): Promise<void> {
    while (this.requests.length < count) await new Promise<void>((resolve) => this.#onRequest.push(resolve));
  }

  /** Waits until no request is open. */
  async idle(): Promise<void> {
    while (this.#open) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export const json =
  (value: unknown, status = 200, headers: Record<string, string> = {}): Handler =>
  (_, response) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));

export const text =
  (body: string, status = 200, headers: Record<string, string> = {}): Handler =>
  (_, response) =>
    response.writeHead(status, headers).end(body);

/** Answers with each image's number among all that were asked about, from `first`. */
export const counting = (first = 1): Handler => {
  let next = first;
  return ({ body }, response) => response.end(JSON.stringify({ results: (body.images as string[]).map(() => next++) }));
};

/** Pauses pass at once and are written down; a try has the time that the test gives it. */
export class TestPacing implements Pacing {
  /** Seconds of each pause between tries. */
  readonly pauses: number[] = [];
  #expire: (() => void)[] = [];

  constructor(
    private readonly options: { timeout?: number; random?: number; now?: number; onPause?: () => Promise<void> } = {},
  ) {}

  wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (milliseconds === 1000 * (this.options.timeout ?? 60))
      return new Promise((resolve, reject) => {
        this.#expire.push(resolve);
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    this.pauses.push(milliseconds / 1000);
    return this.options.onPause?.() ?? Promise.resolve();
  }

  /** Ends the time of every try that is under way. */
  expire(): void {
    for (const end of this.#expire.splice(0)) end();
  }

  random = () => this.options.random ?? 0;
  now = () => this.options.now ?? 0;
}

/** Gray images of 2×2 pixels, each of its own shade. */
export function grays(count: number, first = 0): Tensor {
  const data = Float32Array.from({ length: 4 * count }, (_, index) => (first + Math.floor(index / 4)) / 255);
  return Tensor.from(data, [count, 1, 2, 2]);
}

export const prompts = (count: number): string[] => Array.from({ length: count }, (_, index) => `prompt ${index}`);
