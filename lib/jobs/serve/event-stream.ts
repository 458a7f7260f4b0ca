import type { ServerResponse } from 'node:http';

/** Beats in a row in which a reader takes nothing, after which it is given up. */
const patience = 4;

/**
 * One reader of server-sent events. What is sent is never queued without end: whoever sends asks `isFull` first, and a
 * reader that takes nothing for some beats is cut off; its browser connects again and goes on from the last `id`.
 */
export class EventStream {
  #unread = 0;

  /** @param retry after how many milliseconds a browser connects again */
  constructor(
    private readonly response: ServerResponse,
    retry: number,
  ) {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' });
    response.write(`retry: ${retry}\n\n`);
  }

  /** Whether the reader has not taken yet what it was sent. */
  get isFull(): boolean {
    return this.response.writableNeedDrain;
  }

  /** Sends an event. @param id where the stream goes on for whoever has read it */
  send(event: string, data: unknown, id?: string): void {
    const lines = [`event: ${event}`, `data: ${JSON.stringify(data)}`, ...(id === undefined ? [] : [`id: ${id}`])];
    this.response.write(`${lines.join('\n')}\n\n`);
  }

  /** Shows that the connection lives, to proxies, too; gives up a reader that has stopped reading. */
  beat(): void {
    this.#unread = this.isFull ? this.#unread + 1 : 0;
    if (this.#unread >= patience) this.response.destroy();
    else if (!this.isFull) this.response.write(': \n\n');
  }

  /** Ends the stream; resolves when all was handed to the system, or the reader has gone. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      if (this.response.destroyed) return resolve();
      this.response.once('close', resolve);
      this.response.end(resolve);
    });
  }
}
