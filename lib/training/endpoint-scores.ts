import { appendFile, readFile, truncate } from 'node:fs/promises';

import { z } from 'zod';

import type { ArrayScore } from '../rewards/reward.js';

const numbers = z.array(z.number().nullable());

const lineSchema = z.strictObject({
  values: numbers,
  parts: z.record(z.string(), numbers).optional(),
  weights: z.record(z.string(), z.number()).optional(),
  forwards: z.number(),
  vjps: z.number(),
  seconds: z.number(),
});

type Line = z.output<typeof lineSchema>;

/** Drawing and scoring endpoints took this much. */
export type EndpointCost = Pick<Line, 'forwards' | 'vjps' | 'seconds'>;

/** Makes what JSON can hold: null stands for what is not finite. */
const toJson = (values: Float32Array): (number | null)[] =>
  Array.from(values, (value) => (Number.isFinite(value) ? value : null));

/**
 * The scores of endpoints stand in the order in which they were drawn, a line of JSON for each batch. Where there is a
 * file, its whole lines tell how far a run came that was killed.
 */
export class EndpointScores {
  readonly #lines: Line[];

  private constructor(
    private readonly path: string | undefined,
    lines: Line[],
  ) {
    this.#lines = lines;
  }

  static async open(path: string | undefined): Promise<EndpointScores> {
    if (path === undefined) return new EndpointScores(undefined, []);
    const text = await readFile(path, 'utf8').catch(() => '');
    const lines: Line[] = [];
    let good = 0;
    for (const line of text.split('\n').slice(0, -1)) {
      const parsed = lineSchema.safeParse(parse(line));
      if (!parsed.success) break;
      lines.push(parsed.data);
      good += Buffer.byteLength(line) + 1;
    }
    if (good < Buffer.byteLength(text)) await truncate(path, good);
    return new EndpointScores(path, lines);
  }

  get rows(): number {
    return this.#lines.reduce((sum, { values }) => sum + values.length, 0);
  }

  get cost(): EndpointCost {
    const total = (of: keyof EndpointCost) => this.#lines.reduce((sum, line) => sum + line[of], 0);
    return { forwards: total('forwards'), vjps: total('vjps'), seconds: total('seconds') };
  }

  async append({ values, parts, weights }: Omit<ArrayScore, 'grad'>, cost: EndpointCost): Promise<void> {
    const line: Line = {
      values: toJson(values),
      ...(parts && {
        parts: Object.fromEntries(Object.entries(parts).map(([name, numbers]) => [name, toJson(numbers)])),
      }),
      ...(weights && { weights }),
      ...cost,
    };
    if (this.path !== undefined) await appendFile(this.path, `${JSON.stringify(line)}\n`, { flush: true });
    this.#lines.push(line);
  }

  /** Forgets every score. */
  async clear(): Promise<void> {
    this.#lines.length = 0;
    if (this.path !== undefined) await truncate(this.path).catch(() => undefined);
  }

  /** Gives the scores of all rows as one. */
  joined(): ArrayScore {
    const join = (of: (line: Line) => (number | null)[]) =>
      Float32Array.from(this.#lines.flatMap((line) => of(line).map((value) => value ?? Number.NaN)));
    const [first] = this.#lines;
    return {
      values: join(({ values }) => values),
      ...(first?.parts && {
        parts: Object.fromEntries(
          Object.keys(first.parts).map((name) => [name, join(({ parts }) => parts?.[name] ?? [])]),
        ),
      }),
      ...(first?.weights && { weights: first.weights }),
    };
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
