import type { Server } from 'node:http';
import { isIPv6, type AddressInfo } from 'node:net';
import { hostname } from 'node:os';

import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { callback } from '../../schema/options.js';
import { expected } from '../../schema/validate.js';

/** These settings say where the page of a run (`finetune`) or of a folder (`serve`) is served. */
export interface ServeOptions {
  /** The port, from 0 to 65535; 0 takes any that is free. Default: the first from 6017 on that is free. */
  port?: number | undefined;
  /**
   * The address or name to listen on; whoever can reach it and knows the token sees the page, and its traffic is not
   * encrypted. @defaultValue '127.0.0.1', which only this machine reaches
   */
  host?: string | undefined;
  /**
   * The secret part of the page's address, at least 16 letters, digits, `-` or `_`. Default: that in the environment
   * variable `EAM_SERVE_TOKEN`, else a random one.
   */
  token?: string | undefined;
  /** Told the page's address, which holds the token. Default: it is noted. */
  onAddress?: ((url: string) => void) | undefined;
}

/** The schema that checks {@link ServeOptions}. */
export const serveShape = {
  port: z.int().min(0).max(65_535),
  host: z.string().min(1),
  onAddress: callback,
  token: z.string().regex(/^[\w-]{16,}$/, 'expected at least 16 letters, digits, - or _'),
};

const defaultPort = 6017;
/** So many ports are tried where none is named. */
const triedPorts = 100;
const loopback = '127.0.0.1';

export const hostOf = ({ host = loopback }: ServeOptions): string => host;

/** Whether only this machine can reach a host. */
export const isLoopback = (host: string): boolean => /^(127(\.\d{1,3}){3}|::1|localhost)$/.test(host);

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
      if (code === 'EADDRINUSE' && options.port === undefined && port < first + triedPorts) continue;
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
