// Apart from what listens: the package's declarations reach this file, and name none of Node's types.

import { z } from 'zod';

import { callback } from '../../schema/options.js';

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

const loopback = '127.0.0.1';

export const hostOf = ({ host = loopback }: ServeOptions): string => host;

/** Whether only this machine can reach a host. */
export const isLoopback = (host: string): boolean => /^(127(\.\d{1,3}){3}|::1|localhost)$/.test(host);
