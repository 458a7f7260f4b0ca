// A small server of the hub's API on the loopback interface, with the faults that a test asks for. What it answers is
// what huggingface_hub and @huggingface/hub ask for; huggingface_hub itself reads from it in a test.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request that has come. */
export interface HubRequest {
  method: string;
  path: string;
  authorization: string | undefined;
  range: string | undefined;
  body: string;
}

/** What becomes of a request before the server looks at it: whether it has been answered. */
export type Fault = (request: HubRequest, response: ServerResponse) => boolean;

/** One repository: its files at one commit, and who may read them. */
export interface Repository {
  files: Map<string, Buffer>;
  commit: string;
  gated?: boolean;
  private?: boolean;
}

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const gitSha1 = (data: Uint8Array): string =>
  createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex');

/** Files of weights are stored by Git LFS, others by Git. */
const isLarge = (path: string): boolean => /\.(safetensors|bin|pt|pth|model)$/.test(path);

export const goodToken = 'hf_good0123456789';
/** May write, and has agreed to every licence. */
export const writeToken = 'hf_write0123456789';

export class TestHub implements AsyncDisposable {
  readonly requests: HubRequest[] = [];
  readonly repositories = new Map<string, Repository>();
  /** The next faults, each of which is tried on every request until it takes one. */
  readonly faults: Fault[] = [];
  /** Uploaded objects of Git LFS by their SHA-256. */
  readonly objects = new Map<string, Buffer>();
  /** Whether uploaded objects are stored with other bytes. */
  spoil = false;
  readonly #server = createServer((request, response) => void this.#receive(request, response));
  /** Where large files are, on an origin of its own as the hub's are. */
  readonly #storage = createServer((request, response) => void this.#receive(request, response));

  static async start(): Promise<TestHub> {
    const hub = new TestHub();
    for (const server of [hub.#server, hub.#storage])
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Another host than the hub's by its name: huggingface_hub follows redirects within one host by itself. */
  get storageUrl(): string {
    return `http://localhost:${(this.#storage.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#server, this.#storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Adds a repository, or replaces its files by a new commit. */
  add(id: string, files: Record<string, string | Uint8Array>, access: Partial<Repository> = {}): Repository {
    const contents = new Map(Object.entries(files).map(([path, data]) => [path, Buffer.from(data as string)]));
    const commit = createHash('sha1')
      .update(id)
      .update(JSON.stringify([...contents]))
      .digest('hex');
    const repository = { files: contents, commit, ...access };
    this.repositories.set(id, repository);
    return repository;
  }

  /** The requests for one file's bytes. */
  of(path: string): HubRequest[] {
    return this.requests.filter((request) => request.path.endsWith(`/${path}`) || request.path.endsWith(`=${path}`));
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const { method = 'GET', url = '/', headers } = request;
    const bytes = Buffer.concat(chunks);
    const body = bytes.toString();
    const received = { method, path: url, authorization: headers.authorization, range: headers.range, body };
    this.requests.push(received);
    const fault = this.faults.findIndex((each) => each(received, response));
    if (fault >= 0) this.faults.splice(fault, 1);
    else this.#answer(received, bytes, response);
  }

  #answer(request: HubRequest, bytes: Buffer, response: ServerResponse): unknown {
    const path = decodeURIComponent(request.path.split('?')[0]!);
    const storage = /^\/storage\/(?:upload\/)?([0-9a-f]{64})$/.exec(path);
    if (storage && request.method === 'PUT') {
      this.objects.set(storage[1]!, this.spoil ? Buffer.from(bytes).reverse() : bytes);
      return response.writeHead(200, { etag: '"stored"' }).end();
    }
    if (storage) return send(this.objects.get(storage[1]!)!, request, response);
    if (path === '/api/repos/create') return this.#create(request, response);
    const actions = 'revision|tree|resolve|preupload|commit|info';
    const pattern = new RegExp(
      `^/(?:api/(?:models/)?)?((?:datasets/)?[\\w.-]+/[\\w.-]+?)(?:\\.git)?(/(?:${actions})/.*)?$`,
    );
    const [, id, rest = ''] = pattern.exec(path) ?? [];
    const repository = id === undefined ? undefined : this.repositories.get(id);
    const refused = this.#refusal(repository, request, rest);
    if (refused) return refuse(response, ...refused);
    const [action, revision] = rest.slice(1).split('/') as [string, string];
    if (['revision', 'tree', 'resolve'].includes(action) && !['main', 'v1', repository!.commit].includes(revision))
      return refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
    switch (action) {
      case 'revision':
        return json(response, describe(id!, repository!));
      case 'tree':
        return json(response, tree(repository!));
      case 'resolve':
        return this.#resolve(repository!, rest.split('/').slice(3).join('/'), request, response);
      case 'preupload':
        return preupload(request, response);
      case 'info':
        return this.#batch(request, response);
      case 'commit':
        return this.#commit(id!, repository!, request, response);
      default:
        return json(response, describe(id!, repository!));
    }
  }

  #refusal(
    repository: Repository | undefined,
    { authorization }: HubRequest,
    rest: string,
  ): [number, string | undefined, string] | undefined {
    const token = authorization?.slice('Bearer '.length);
    const isKnown = token === goodToken || token === writeToken;
    if (token !== undefined && !isKnown) return [401, undefined, `Invalid user token ${token}.`];
    if (!repository || (repository.private && token !== writeToken))
      return isKnown
        ? [404, 'RepoNotFound', 'Repository not found']
        : [401, 'RepoNotFound', 'Invalid username or password.'];
    if (repository.gated && rest.startsWith('/resolve/') && token !== writeToken)
      return isKnown
        ? [403, 'GatedRepo', 'Access to this model is restricted and you are not in the authorized list.']
        : [401, 'GatedRepo', 'Access to this model is restricted. You must be authenticated to access it.'];
    const isWrite = /^\/(preupload|commit|info)\//.test(rest);
    if (isWrite && token !== writeToken) return [403, undefined, `You don't have the rights: ${token}`];
    return undefined;
  }

  #resolve({ files, commit }: Repository, path: string, request: HubRequest, response: ServerResponse): unknown {
    const data = files.get(path);
    if (!data) return refuse(response, 404, 'EntryNotFound', 'Entry not found');
    response.setHeader('x-repo-commit', commit);
    if (!isLarge(path)) {
      response.setHeader('etag', `"${gitSha1(data)}"`);
      return send(data, request, response);
    }
    const hash = sha256(data);
    this.objects.set(hash, data);
    response
      .writeHead(302, {
        location: `${this.storageUrl}/storage/${hash}?file=${path}`,
        'x-linked-etag': `"${hash}"`,
        'x-linked-size': String(data.length),
        'content-length': '0',
      })
      .end();
  }

  #create({ body, authorization }: HubRequest, response: ServerResponse): unknown {
    const { name, organization } = JSON.parse(body) as { name: string; organization: string; visibility?: string };
    const id = `${organization}/${name}`;
    if (authorization !== `Bearer ${writeToken}`) return refuse(response, 403, undefined, 'You need a write token');
    if (this.repositories.has(id)) return refuse(response, 409, undefined, 'You already created this model repo');
    this.add(id, { '.gitattributes': '*.safetensors filter=lfs\n' }, { private: body.includes('"private"') });
    json(response, { url: `${this.url}/${id}`, id, name: id });
  }

  #batch({ body }: HubRequest, response: ServerResponse): void {
    const { objects } = JSON.parse(body) as { objects: { oid: string; size: number }[] };
    json(response, {
      transfer: 'basic',
      objects: objects.map((object) => ({
        ...object,
        actions: this.objects.has(object.oid)
          ? undefined
          : { upload: { href: `${this.storageUrl}/storage/upload/${object.oid}`, header: {} } },
      })),
    });
  }

  #commit(id: string, repository: Repository, { body }: HubRequest, response: ServerResponse): void {
    const files = new Map(repository.files);
    for (const line of body.split('\n').filter(Boolean)) {
      const { key, value } = JSON.parse(line) as { key: string; value: Record<string, string> };
      if (key === 'file') files.set(value['path']!, Buffer.from(value['content']!, 'base64'));
      if (key === 'lfsFile') files.set(value['path']!, this.objects.get(value['oid']!)!);
      if (key === 'deletedFile') files.delete(value['path']!);
    }
    const { commit } = this.add(id, Object.fromEntries(files), { private: repository.private ?? false });
    json(response, { commitOid: commit, commitUrl: `${this.url}/${id}/commit/${commit}`, hookOutput: '' });
  }
}

const describe = (id: string, { commit, files, gated = false, private: hidden = false }: Repository) => ({
  _id: '0'.repeat(24),
  id,
  modelId: id,
  sha: commit,
  private: hidden,
  gated: gated ? 'manual' : false,
  downloads: 0,
  likes: 0,
  lastModified: '2026-01-01T00:00:00.000Z',
  siblings: Array.from(files.keys(), (rfilename) => ({ rfilename })),
});

function tree({ files }: Repository): unknown[] {
  return Array.from(files, ([path, data]) => ({
    type: 'file',
    path,
    size: data.length,
    oid: gitSha1(data),
    ...(isLarge(path) && { lfs: { oid: sha256(data), size: data.length, pointerSize: 130 } }),
  }));
}

function preupload({ body }: HubRequest, response: ServerResponse): void {
  const { files } = JSON.parse(body) as { files: { path: string }[] };
  json(response, {
    files: files.map(({ path }) => ({ path, uploadMode: isLarge(path) || path.endsWith('.png') ? 'lfs' : 'regular' })),
  });
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function refuse(response: ServerResponse, status: number, code: string | undefined, error: string): void {
  response
    .writeHead(status, {
      'content-type': 'application/json',
      ...(code && { 'x-error-code': code, 'x-error-message': error }),
    })
    .end(JSON.stringify({ error }));
}

/** The bytes that a request asks for. */
function send(data: Buffer, { range, method }: HubRequest, response: ServerResponse): void {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  const begin = Number(from ?? 0);
  const end = to ? Math.min(Number(to) + 1, data.length) : data.length;
  const headers = { 'content-length': String(end - begin), 'accept-ranges': 'bytes' };
  if (from === undefined) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${begin}-${end - 1}/${data.length}` });
  response.end(method === 'HEAD' ? undefined : data.subarray(begin, end));
}

/** Cuts connections once the client has what was sent before, of which a cut would lose what is under way. */
export class Cutter {
  #open: { response: ServerResponse; end: number } | undefined;

  /** Sends so many bytes of a file, of those that are asked for, and no more; nothing is cut without a byte. */
  after(data: Uint8Array, bytes: number): Fault {
    return (request, response) => {
      if (!request.path.startsWith('/storage/')) return false;
      const begin = Number(/^bytes=(\d+)-/.exec(request.range ?? '')?.[1] ?? 0);
      response.writeHead(begin ? 206 : 200, {
        'content-length': String(data.length - begin),
        ...(begin && { 'content-range': `bytes ${begin}-${data.length - 1}/${data.length}` }),
      });
      this.#open = { response, end: begin + bytes };
      response.write(data.subarray(begin, begin + bytes));
      return true;
    };
  }

  /** To be told of what the client has. */
  onBytes = (done: number): void => {
    if (done === this.#open?.end) this.#open.response.destroy();
  };
}

/** Cuts the connection after the answer's head. */
export const cutAtOnce: Fault = (request, response) => {
  if (!request.path.startsWith('/storage/')) return false;
  const begin = Number(/^bytes=(\d+)-/.exec(request.range ?? '')?.[1] ?? 0);
  response.writeHead(begin ? 206 : 200, begin ? { 'content-range': `bytes ${begin}-199999/200000` } : {});
  response.write('', () => setImmediate(() => response.destroy()));
  response.flushHeaders();
  return true;
};

/** Answers with a status. */
export const status =
  (code: number, headers: Record<string, string> = {}, path = /./): Fault =>
  (request, response) => {
    if (!path.test(request.path)) return false;
    response.writeHead(code, headers).end();
    return true;
  };
