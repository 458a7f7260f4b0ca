import { join } from 'node:path';

import { axesOf } from '../report/charts.js';
import type { GridSource } from '../report/grids.js';
import { allCharts, pageData, steppedParts, type PageData } from '../report/page-data.js';
import { isAlarm } from '../report/panel-charts.js';
import { runNames } from '../report/run-names.js';
import type { RunView } from '../report/run-view.js';
import type { EventStream } from './event-stream.js';
import { livePartsOf, type LiveParts } from './live-parts.js';
import type { LiveRun } from './live-run.js';
import type { Position, WatchedRun } from './watched-run.js';

/** A run that a page shows. */
export interface ShownRun {
  key: string;
  run: WatchedRun;
}

/** The parts of a page of runs that a report does not have. */
export interface Status {
  parts: LiveParts;
  /** Whether the buttons do something. */
  canSave: boolean;
  canStop: boolean;
}

/**
 * New steps that a page adds to those that it shows: for each run the axes of the new steps, and the charts' lines over
 * them.
 */
type Rows = Pick<PageData, 'charts'> & {
  axes: PageData['runs'][number]['axes'][];
  parts: Partial<PageData['parts']>;
};

/** The address from which a page loads a run's grids. */
export const gridAddress =
  (shown: readonly ShownRun[]): GridSource =>
  async ({ step, path }) => {
    const { key } = shown.find(({ run }) => path.startsWith(join(run.directory, 'samples')))!;
    return `grids/${encodeURIComponent(key)}/${step}.png`;
  };

const wholeData = (shown: readonly ShownRun[]): Promise<PageData> =>
  pageData(
    shown.map(({ run }) => run.view),
    gridAddress(shown),
  );

export function statusOf(shown: readonly ShownRun[], live: LiveRun | undefined): Status {
  const names = runNames(shown.map(({ run }) => run.view));
  const status = live?.status();
  const told = shown.map(({ run: { view, tally } }, at) => ({ name: names[at]!, state: view.state, tally }));
  return {
    parts: livePartsOf(told, status),
    canSave: status?.task?.unit === 'step' && !status.checkpoint.isWanted && !status.isStopping,
    canStop: status !== undefined && !status.isStopping,
  };
}

/**
 * The position of a page that shows these runs as they are now. A browser sends it back as `last-event-id`, so that a
 * stream that was cut goes on after it.
 */
const positionOf = (shown: readonly ShownRun[]): string =>
  shown.map(({ run: { position } }) => [position.edition, position.version, position.steps].join('-')).join('~');

function positionsIn(text: string): Position[] {
  return text.split('~').flatMap((each) => {
    const [edition = '', version, steps] = each.split('-');
    return edition === '' ? [] : [{ edition, version: Number(version), steps: Number(steps) }];
  });
}

/** Tells one reader of a page what is new since it was told last, or since the page was made. */
export class Feed {
  #told: Position[];
  #status = '';

  /** @param from the `id` of the last event that the reader has; empty: it has none */
  constructor(
    private readonly runs: () => Promise<readonly ShownRun[]>,
    from: string,
    private readonly live: LiveRun | undefined,
  ) {
    this.#told = positionsIn(from);
  }

  /**
   * Sends `rows` for steps that are new, `data` where more has changed than that, `reload` where the runs are others,
   * and `status` where that has changed.
   */
  async send(stream: EventStream): Promise<void> {
    const shown = await this.runs();
    const position = positionOf(shown);
    if (this.#told.length && shown.length !== this.#told.length) stream.send('reload', null, position);
    else if (shown.length) {
      const news = shown.map(({ run }, at) => this.#told[at] && run.since(this.#told[at]));
      // A chart's note tells of the first alarm, which rows do not have.
      if (!news.every((rows) => rows !== undefined && !rows.some((row) => isAlarm(row))))
        stream.send('data', await wholeData(shown), position);
      else if (news.some((rows) => rows!.length))
        stream.send('rows', rowsOf(shown, news as RunView['metrics'][]), position);
    }
    this.#told = positionsIn(position);
    const status = statusOf(shown, this.live);
    const text = JSON.stringify(status);
    if (text === this.#status) return;
    this.#status = text;
    stream.send('status', status);
  }

  /** Sends all once more, as the run has left it, and that nothing follows. */
  async end(stream: EventStream): Promise<void> {
    const shown = await this.runs();
    if (shown.length) stream.send('data', await wholeData(shown), positionOf(shown));
    stream.send('status', statusOf(shown, this.live));
    stream.send('end', null);
  }
}

function rowsOf(shown: readonly ShownRun[], news: readonly RunView['metrics'][]): Rows {
  const views = shown.map(({ run }) => run.view);
  const names = runNames(views);
  return {
    charts: allCharts(
      views.map((view, at) => ({ ...view, metrics: news[at]! })),
      names,
    ),
    axes: views.map(({ metrics }, at) => {
      const { steps, evaluations, seconds } = axesOf(metrics);
      const first = metrics.length - news[at]!.length;
      return { steps: steps.slice(first), evaluations: evaluations.slice(first), seconds: seconds.slice(first) };
    }),
    parts: steppedParts(views, names),
  };
}
