// A reader of server-sent events, as a browser is one.

export interface ReadEvent {
  event: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever was sent
  data: any;
  id: string | undefined;
}

export class EventReader implements Disposable {
  readonly #stop = new AbortController();
  readonly #events: AsyncGenerator<ReadEvent, void, void>;

  /** @param lastId the id of the last event that was read before */
  constructor(url: string, lastId?: string) {
    this.#events = this.#read(url, lastId);
  }

  /** The next event of this name, those of others before it passed over; undefined where the stream has ended. */
  async next(name: string): Promise<ReadEvent | undefined> {
    for (;;) {
      const { value } = await this.#events.next();
      if (!value || value.event === name) return value ?? undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  async *#read(url: string, lastId: string | undefined): AsyncGenerator<ReadEvent, void, void> {
    const headers = lastId === undefined ? {} : { 'last-event-id': lastId };
    const response = await fetch(url, { headers, signal: this.#stop.signal });
    let text = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const whole = text.split('\n\n');
      text = whole.pop()!;
      for (const block of whole) {
        const fields = new Map(
          block.split('\n').map((line) => [line.split(': ')[0], line.slice(line.indexOf(': ') + 2)]),
        );
        const event = fields.get('event');
        if (event !== undefined) yield { event, data: JSON.parse(fields.get('data')!), id: fields.get('id') };
      }
    }
  }
}
