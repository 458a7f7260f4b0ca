import { EventFile } from '../../files/tensorboard/event-file.js';
import { imageEvent, scalarsEvent, textEvent } from '../../files/tensorboard/events.js';
import type { Scalar } from '../../training/metric-names.js';
import type { RunLog } from './run-log.js';

/** Event files for TensorBoard. */
export class TensorBoardLog implements RunLog {
  readonly #file: EventFile;

  constructor(folder: string) {
    this.#file = new EventFile(folder);
  }

  scalars(step: number, scalars: readonly Scalar[]): Promise<void> {
    return this.#file.append(scalarsEvent(step, scalars));
  }

  image(step: number, png: Uint8Array): Promise<void> {
    return this.#file.append(imageEvent(step, 'samples', png));
  }

  async config(config: object): Promise<void> {
    // Markdown shows as code what is indented.
    await this.#file.append(textEvent(0, 'configuration', JSON.stringify(config, null, 2).replaceAll(/^/gm, '    ')));
    const { prompts } = config as { prompts?: unknown };
    if (!Array.isArray(prompts)) return;
    await this.#file.append(textEvent(0, 'prompts', prompts.map((prompt) => `- ${String(prompt)}`).join('\n')));
  }

  summary(step: number, scalars: readonly Scalar[]): Promise<void> {
    return this.scalars(step, scalars);
  }

  rewind(step: number): Promise<void> {
    return this.#file.rewind(step);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
