import type { ServerResponse } from 'node:http';

import { isError } from '../../errors.js';
import { EventStream } from './event-stream.js';
import { Feed, type ShownRun } from './feed.js';
import { readGrid } from './grid-file.js';
import type { LiveRun } from './live-run.js';
import { livePage } from './live-page.js';
import { text, type Answer, type Asked, type Site } from './page-server.js';
import type { ListedRun } from './run-folder.js';
import { WatchedRun } from './watched-run.js';

/** Milliseconds between two looks at what the runs have written. */
const lookEvery = 1000;
/** Looks between two beats of a stream that nothing else was sent over. */
const looksPerBeat = 15;
/** Milliseconds after which a browser connects again. */
const retryAfter = 2000;

/** The page of runs: of one that goes on in this process, or of those in a folder. */
export class RunSite implements Site {
  readonly #watched = new Map<string, Promise<WatchedRun>>();
  readonly #feeds = new Set<{ feed: Feed; stream: EventStream; isBusy: boolean }>();
  readonly #faults = new Set<string>();
  #listing: Promise<readonly ListedRun[]> | undefined;
  #looks = 0;
  readonly #timer: NodeJS.Timeout;

  /**
   * @param list gives the runs that there are
   * @param onFault told of what cannot be read, once each
   * @param live the run that goes on in this process
   */
  constructor(
    private readonly list: () => Promise<readonly ListedRun[]>,
    private readonly onFault: (line: string) => void,
    private readonly live?: LiveRun,
    every: number = lookEvery,
  ) {
    this.#timer = setInterval(() => this.#look(), every);
  }

  async get({ path, query }: Asked): Promise<Answer | undefined> {
    const [place, ...rest] = path;
    if (place === 'grids') return this.#grid(rest);
    if (rest.length || place !== '') return undefined;
    return livePage({ all: await this.#list(), shown: await this.#shown(query), live: this.live });
  }

  async post({ path, request }: Asked): Promise<Answer | undefined> {
    const [action, ...rest] = path;
    if (!this.live || rest.length) return undefined;
    if (action === 'checkpoint') {
      return this.live.requestCheckpoint()
        ? text(202, 'A checkpoint is written after this step.')
        : text(409, 'No step is being done: the last checkpoint is of the last one.');
    }
    if (action !== 'stop') return undefined;
    // To stop also needs this header, which a request that was sent by mistake does not carry.
    if (request.headers['eam-confirm'] !== 'stop') return text(400, 'To stop needs the header "eam-confirm: stop".');
    this.live.stop();
    return text(202, 'The run stops after a checkpoint.');
  }

  stream({ path, query, request }: Asked): ((response: ServerResponse) => void) | undefined {
    if (path.join('/') !== 'events') return undefined;
    const from = request.headers['last-event-id'] ?? '';
    return (response) => {
      const reader = {
        stream: new EventStream(response, retryAfter),
        feed: new Feed(() => this.#shown(query), String(from), this.live),
        isBusy: false,
      };
      this.#feeds.add(reader);
      response.once('close', () => this.#feeds.delete(reader));
      void this.#serve(reader);
    };
  }

  /** Tells every reader how the run ended, and ends the streams. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#listing = undefined;
    await Promise.all(
      Array.from(this.#feeds, async ({ feed, stream }) => {
        await feed.end(stream).catch((error: unknown) => this.#fault(error));
        await stream.end();
      }),
    );
  }

  #look(): void {
    this.#listing = undefined;
    const isBeat = ++this.#looks % looksPerBeat === 0;
    for (const reader of this.#feeds) {
      if (isBeat) reader.stream.beat();
      void this.#serve(reader);
    }
  }

  async #serve(reader: { feed: Feed; stream: EventStream; isBusy: boolean }): Promise<void> {
    if (reader.isBusy || reader.stream.isFull) return;
    reader.isBusy = true;
    try {
      await reader.feed.send(reader.stream);
    } catch (error) {
      this.#fault(error);
    } finally {
      reader.isBusy = false;
    }
  }

  /** The runs that an address names, or the one that was written to last. */
  #chosen(all: readonly ListedRun[], query: URLSearchParams): readonly ListedRun[] {
    const keys = new Set(query.getAll('run'));
    const named = all.filter(({ key }) => keys.has(key));
    if (named.length) return named;
    const latest = Math.max(...all.map(({ changed }) => changed.getTime()));
    return all.filter(({ changed }) => changed.getTime() === latest).slice(0, 1);
  }

  /** The runs that an address names, as they are now; those that cannot be read are left out. */
  async #shown(query: URLSearchParams): Promise<ShownRun[]> {
    const read = this.#chosen(await this.#list(), query).map(async (listed) => {
      try {
        const run = await this.#watch(listed);
        await run.update();
        return [{ key: listed.key, run }];
      } catch (error) {
        this.#fault(error);
        return [];
      }
    });
    return (await Promise.all(read)).flat();
  }

  /** All runs, looked for anew with every look at what they have written, and as long as there are none. */
  async #list(): Promise<readonly ListedRun[]> {
    this.#listing ??= this.list();
    const runs = await this.#listing;
    if (runs.length === 0) this.#listing = undefined;
    return runs;
  }

  #watch({ directory }: ListedRun): Promise<WatchedRun> {
    const known = this.#watched.get(directory);
    if (known) return known;
    const opened = WatchedRun.open(directory);
    this.#watched.set(directory, opened);
    // A run that cannot be read now is tried again at the next look.
    opened.catch(() => this.#watched.delete(directory));
    return opened;
  }

  async #grid([key, name, ...rest]: readonly string[]): Promise<Answer | undefined> {
    const step = /^(\d+)\.png$/.exec(name ?? '')?.[1];
    const run = (await this.#list()).find((each) => each.key === key);
    if (step === undefined || rest.length || !run) return undefined;
    const grid = (await this.#watch(run)).view.grids.find((each) => each.step === Number(step));
    const png = grid && (await readGrid(grid.path));
    return png && { status: 200, body: png, headers: { 'content-type': 'image/png' } };
  }

  #fault(error: unknown): void {
    const line = `the live page: ${isError(error) ? error.message : String(error)}`;
    if (this.#faults.has(line)) return;
    this.#faults.add(line);
    this.onFault(line);
  }
}
