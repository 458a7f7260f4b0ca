// HTTP as bytes on a socket: what no well-behaved client sends.
import { connect, type Socket } from 'node:net';

/** A connection to a server's address, and what has come over it. */
export class RawConnection {
  received = '';
  readonly closed: Promise<void>;
  #wake: (() => void)[] = [];

  private constructor(readonly socket: Socket) {
    socket.setEncoding('latin1');
    socket.on('data', (text) => {
      this.received += String(text);
      for (const wake of this.#wake.splice(0)) wake();
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    void this.closed.then(() => {
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  static open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) });
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RawConnection(socket));
      });
    });
  }

  /** Waits until `text` has come. @throws where the connection ends before */
  async until(text: string): Promise<void> {
    while (!this.received.includes(text)) {
      if (this.socket.closed) throw new Error(`the connection ended without ${text}: ${this.received}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}

export interface RawAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/**
 * Sends one request and gives the answer.
 * @param target the request's target, as it goes over the wire
 */
export async function ask(
  url: string,
  target: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<RawAnswer> {
  const connection = await RawConnection.open(url);
  const all = { host: new URL(url).host, connection: 'close', ...headers };
  const lines = [`${method} ${target} HTTP/1.1`, ...Object.entries(all).map(([name, value]) => `${name}: ${value}`)];
  connection.socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  await connection.closed;
  return parsed(connection.received);
}

/** The first answer in what came over a connection. */
export function parsed(received: string): RawAnswer {
  const end = received.indexOf('\r\n\r\n');
  const [first = '', ...lines] = received.slice(0, end).split('\r\n');
  return {
    status: Number(first.split(' ')[1]),
    headers: Object.fromEntries(
      lines.map((line) => [line.split(':')[0]!.toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    ),
    body: received.slice(end + 4),
  };
}
