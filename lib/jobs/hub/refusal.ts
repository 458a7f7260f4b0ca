// What the hub's refusals mean, and what to do about each.

import { isDataset } from '../../files/hub-cache.js';
import type { HubSettings } from './settings.js';
import { HubError } from './error.js';

/** What was asked of the hub, for messages. */
export interface Asked {
  /** `user/name`; of a data set `datasets/user/name`, as in the hub's addresses. */
  id: string;
  revision: string;
}

/** An answer that says no: `x-error-code` and `x-error-message` are headers of the hub's API. */
export interface Refused {
  status: number;
  code: string | null;
  /** The hub's own words, without the token. */
  said: string;
}

/** Says what a refusal of the hub means. The hub answers 401, and not 404, for what a stranger must not know of. */
export function refusal({ id, revision }: Asked, { status, code, said }: Refused, settings: HubSettings): HubError {
  const { endpoint, token } = settings;
  const page = `${endpoint}/${id}`;
  const tokens = `${endpoint}/settings/tokens`;
  const words = said ? `; the hub says: ${said}` : '';
  const error = (message: string) => new HubError(message, { status });
  if (code === 'GatedRepo' && !token) {
    return error(
      `${id} is gated: its authors ask you to agree to their licence first. Log in at ${page}, read the licence, ` +
        `and click "Agree and access repository" there. Then make a token at ${tokens}, of the type "Read", ` +
        'set HF_TOKEN to it, and run this again',
    );
  }
  if (code === 'GatedRepo') {
    return error(
      `the account of the token in ${token!.source} has no access to ${id}, which is gated. Log in at ${page} with ` +
        'that account, read the licence, and click "Agree and access repository"; where its authors look at each ' +
        `request, wait for their answer. A fine-grained token (${tokens}) also needs the permission "Read access to ` +
        `contents of all public gated repos you can access"${words}`,
    );
  }
  if (code === 'RevisionNotFound') return error(`${id} has no revision "${revision}"; ${page}/tree/main lists them`);
  if (code === 'EntryNotFound') return error(`${id} at ${revision} does not have this file${words}`);
  if (status === 401 && token && code !== 'RepoNotFound')
    return error(`the hub does not accept the token in ${token.source}: make another at ${tokens}${words}`);
  if (status === 401 || status === 404) {
    const as = token
      ? `or it is private and the account of the token in ${token.source} may not see it`
      : `or it is private: then set HF_TOKEN to a token from ${tokens}`;
    return error(
      `there is no ${isDataset(id) ? 'data set' : 'model'} ${id} at ${endpoint}, ${as}. Compare the name with the ` +
        'address of its page',
    );
  }
  if (status === 403) {
    const what = token ? `the token in ${token.source} does not have the permission` : 'it asks for a token (HF_TOKEN)';
    return error(`the hub refuses this for ${id}: ${what}; permissions are set at ${tokens}${words}`);
  }
  if (status === 429) return error(`the hub asks to wait: too many requests${words}; run this again later`);
  return error(`the hub answered ${status} for ${id}${words}`);
}
