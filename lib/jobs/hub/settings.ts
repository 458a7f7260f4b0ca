// What the environment says of the hub, under the names that huggingface_hub gave it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ConfigError } from '../../errors.js';
import { hubHome, publicHub } from '../../files/hub-cache.js';
import { expected } from '../../schema/validate.js';

/** A token of the hub, and where it is from. No message and no file holds its value. */
export interface HubToken {
  /** Such as `HF_TOKEN`, for messages. */
  source: string;
  value: string;
}

/** These settings say which hub is asked, and as whom. */
export interface HubSettings {
  /** Without a slash at its end. */
  endpoint: string;
  /** Undefined where nobody is logged in. */
  token: HubToken | undefined;
}

/** Whether the hub must not be asked: HF_HUB_OFFLINE, or TRANSFORMERS_OFFLINE, is 1, on, yes or true. */
export const isOffline = (): boolean =>
  ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'].some((name) => /^(1|on|yes|true)$/i.test(process.env[name] ?? ''));

/**
 * HF_ENDPOINT, by default the public hub; HF_TOKEN, or the token that `hf auth login` left.
 * @throws ConfigError for an endpoint that is no address, or a token that no request can carry
 */
export function hubSettings(): HubSettings {
  const endpoint = process.env['HF_ENDPOINT']?.trim() || publicHub;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password)
    throw new ConfigError(
      expected('HF_ENDPOINT', 'an address of http or https, without a user or a password', 'another'),
    );
  return { endpoint: endpoint.replace(/\/+$/, ''), token: readToken() };
}

function readToken(): HubToken | undefined {
  for (const source of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN']) {
    const token = checked(source, process.env[source]);
    if (token) return token;
  }
  const home = hubHome();
  const path = process.env['HF_TOKEN_PATH'] || (home && join(home, 'token'));
  if (!path) return undefined;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  return checked(path, text);
}

function checked(source: string, text: string | undefined): HubToken | undefined {
  // A file that a shell read it from often ends with a new line.
  const value = text?.trim();
  if (!value) return undefined;
  if (!/^[\x21-\x7e]+$/.test(value))
    throw new ConfigError(expected(source, 'a token in printable ASCII, without spaces', 'other characters'));
  return { source, value };
}
