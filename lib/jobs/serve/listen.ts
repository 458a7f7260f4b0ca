import type { Server } from 'node:http';
import { isIPv6, type AddressInfo } from 'node:net';
import { hostname } from 'node:os';

import { ConfigError } from '../../errors.js';
import { expected } from '../../schema/validate.js';
import { hostOf, type ServeOptions } from './serve-options.js';

const defaultPort = 6017;
/** So many ports are tried where none is named. */
const triedPorts = 100;

/**
 * Listens where the options say.
 * @returns the address without the token, such as `http://127.0.0.1:6017`
 * @throws ConfigError for a port that is taken, and a host that is not this machine's
 */
export async function listen(server: Server, options: ServeOptions): Promise<string> {
  const host = hostOf(options);
  const first = options.port ?? defaultPort;
  for (let port = first; ; port++) {
    try {
      await listenOn(server, port, host);
      const name = host === '0.0.0.0' || host === '::' ? hostname() : isIPv6(host) ? `[${host}]` : host;
      return `http://${name}:${(server.address() as AddressInfo).port}`;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE' && options.port === undefined && port + 1 < first + triedPorts) continue;
      throw new ConfigError(problem(code, port, host), { cause: error });
    }
  }
}

function listenOn(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error) => {
      server.off('error', settle).off('listening', settle);
      if (error) reject(error);
      else resolve();
    };
    server.once('error', settle).once('listening', settle).listen({ port, host, exclusive: true });
  });
}

function problem(code: string | undefined, port: number, host: string): string {
  if (code === 'EADDRINUSE')
    return expected('port', 'a free one', `${port}, which is taken on ${host}; name another, or none`);
  if (code === 'EACCES') return expected('port', 'one that this user may listen on, from 1024', port);
  return expected('host', 'an address of this machine', `${host} (${code})`);
}
