// Fetching from the hub: what is taken of a repository, where it comes to lie, and what is asked before.
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { goodToken } from '../helpers/hub.js';
import { below, hubHome, problemOf } from '../helpers/hub-home.js';
import { needed, pipeline } from '../helpers/hub-models.js';

const home = hubHome();
const id = 'artists/painter';

describe('fetchModel of a pipeline', () => {
  it('takes what a task needs, and no copies in other forms', async () => {
    home.hub.add(id, pipeline);
    const { directory, files, fetched } = await home.fetch(id);
    expect(below(directory)).toEqual(Object.keys(needed).sort());
    for (const [path, data] of Object.entries(needed))
      expect(readFileSync(join(directory, path)).equals(Buffer.from(data as string)), path).toBe(true);
    expect(files).toBe(Object.keys(needed).length);
    expect(fetched).toBeGreaterThan(200_000);
  });

  it("lays files out as Python's huggingface_hub does", async () => {
    const { commit } = home.hub.add(id, pipeline);
    const { directory } = await home.fetch(id);
    const repository = join(home.folder, 'cache/hub/models--artists--painter');
    expect(directory).toBe(join(repository, 'snapshots', commit));
    expect(readFileSync(join(repository, 'refs/main'), 'utf8')).toBe(commit);
    const link = join(directory, 'text_encoder/model.safetensors');
    expect(readlinkSync(link)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect(readlinkSync(join(directory, 'model_index.json'))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
    expect(below(join(repository, 'blobs')).filter((name) => name.includes('incomplete'))).toEqual([]);
  });

  it('leaves to one of two that fetch at once what both want', async () => {
    home.hub.add(id, pipeline);
    const [first, second] = await Promise.all([home.fetch(id), home.fetch(id)]);
    expect(first.directory).toBe(second.directory);
    const large = home.hub.requests.filter(({ path }) => path.endsWith('file=text_encoder/model.safetensors'));
    expect(large).toHaveLength(1);
  });

  it('asks for nothing twice', async () => {
    home.hub.add(id, pipeline);
    await home.fetch(id);
    const before = home.hub.requests.length;
    const { fetched } = await home.fetch(id);
    expect(fetched).toBe(0);
    expect(home.hub.requests.slice(before).filter(({ path }) => /resolve|storage/.test(path))).toEqual([]);
    expect(home.lines.some((line) => line.endsWith('model.safetensors, there already'))).toBe(true);
  });

  it('lists each file with its size before any of the large ones comes', async () => {
    home.hub.add(id, pipeline);
    await home.fetch(id);
    const listed = home.lines.indexOf('   0.20 MB  text_encoder/model.safetensors');
    const came = home.lines.findIndex((line) => line.includes('text_encoder/model.safetensors: 0.20 MB'));
    expect(listed).toBeGreaterThan(0);
    expect(came).toBeGreaterThan(listed);
    expect(home.lines.find((line) => line.includes('of it to fetch'))).toMatch(/^10 files of 0\.21 MB, 0\.21 MB/);
  });

  it('takes the variant that is asked for where a component has it', async () => {
    home.hub.add(id, pipeline);
    const { directory } = await home.fetch(id, { variant: 'fp16' });
    const weights = below(directory).filter((path) => path.endsWith('.safetensors'));
    expect(weights).toEqual([
      'text_encoder/model.fp16.safetensors',
      'transformer/diffusion_pytorch_model.fp16.safetensors',
    ]);
    expect(home.lines.filter((line) => line.includes('variant'))).toEqual([]);
  });

  it('says which parts lack the variant where some have it', async () => {
    const { 'text_encoder/model.fp16.safetensors': _, ...some } = pipeline;
    home.hub.add(id, some);
    const { directory } = await home.fetch(id, { variant: 'fp16' });
    expect(below(directory).filter((path) => path.endsWith('.safetensors'))).toEqual([
      'text_encoder/model.safetensors',
      'transformer/diffusion_pytorch_model.fp16.safetensors',
    ]);
    expect(home.lines).toContain('text_encoder: no weights of the variant fp16 are there; what there is, is taken');
  });

  it.each([
    {
      variant: 'fp17',
      files: pipeline,
      problem: `variant: expected one that ${id} has (fp16), got "fp17"`,
    },
    { variant: 'fp16', files: needed, problem: `variant: expected none, since ${id} has no variants, got "fp16"` },
    {
      variant: 'fp16',
      files: { 'adapter_config.json': '{}', 'adapter_model.safetensors': 'weights' },
      problem: `variant: expected none, since ${id} has no variants, got "fp16"`,
    },
    {
      variant: 'a b',
      files: pipeline,
      problem: 'fetchModel options: variant: expected a name of letters, digits, _ and -, such as fp16, got "a b"',
    },
  ])('refuses the variant $variant that no part has, before its weights: $problem', async (row) => {
    home.hub.add(id, row.files);
    await expect(home.fetch(id, { variant: row.variant })).rejects.toThrow(ConfigError);
    expect(await problemOf(home.fetch(id, { variant: row.variant }))).toBe(row.problem);
    expect(home.hub.requests.filter(({ path }) => path.startsWith('/storage'))).toEqual([]);
  });

  it('refuses a variant beside files that are named', async () => {
    home.hub.add(id, pipeline);
    expect(await problemOf(home.fetch(id, { variant: 'fp16', files: ['README.md'] }))).toBe(
      'variant does not go with files that are named one by one',
    );
  });

  it('takes the address of its page, also at a revision, and not two revisions', async () => {
    home.hub.add(id, pipeline);
    const { directory } = await home.fetch(id);
    expect((await home.fetch(`${home.hub.url}/${id}`)).directory).toBe(directory);
    expect((await home.fetch(`https://huggingface.co/${id}/tree/v1`)).directory).toBe(directory);
    const both = home.fetch(`https://huggingface.co/${id}/tree/v1`, { revision: 'v1' });
    await expect(both).rejects.toThrow('revision: expected one');
  });

  it('takes the files that are named, and says which one was meant', async () => {
    home.hub.add(id, pipeline);
    const { directory } = await home.fetch(id, { files: ['one_model.safetensors'] });
    expect(below(directory)).toEqual(['one_model.safetensors']);
    await expect(home.fetch(id, { files: ['one_mdel.safetensors'] })).rejects.toThrow(
      `${id} has no file one_mdel.safetensors; did you mean one_model.safetensors?`,
    );
  });

  it('writes plain files with --to, and trusts none of another content', async () => {
    home.hub.add(id, pipeline);
    const to = join(home.folder, 'here');
    mkdirSync(join(to, 'tokenizer'), { recursive: true });
    writeFileSync(join(to, 'tokenizer/vocab.json'), '{"b": 1}'); // as long as the right one
    expect((await home.fetch(id, { to })).directory).toBe(to);
    expect(below(to)).toEqual(Object.keys(needed).sort());
    expect(below(to).every((path) => lstatSync(join(to, path)).isFile())).toBe(true);
    expect(readFileSync(join(to, 'tokenizer/vocab.json'), 'utf8')).toBe('{"a": 0}');
    expect(existsSync(join(home.folder, 'cache/hub'))).toBe(false);
  });

  it('keeps revisions apart, and refuses one that is not there', async () => {
    home.hub.add(id, pipeline);
    const first = await home.fetch(id, { revision: 'v1' });
    home.hub.add(id, { ...pipeline, 'scheduler/scheduler_config.json': '{"shift": 3}' });
    const second = await home.fetch(`${id}@main`);
    expect(second.directory).not.toBe(first.directory);
    expect(second.fetched).toBe('{"shift": 3}'.length);
    expect(await problemOf(home.fetch(id, { revision: 'v2' }))).toContain(`${id} has no revision "v2"`);
    await expect(home.fetch(`${id}@main`, { revision: 'v1' })).rejects.toThrow('revision: expected one');
  });

  it('leaves a name at what it was until all of the new commit is there', async () => {
    const { commit } = home.hub.add(id, pipeline);
    await home.fetch(id);
    home.hub.add(id, { ...pipeline, 'scheduler/scheduler_config.json': '{"shift": 3}' });
    home.hub.faults.push((request, response) => {
      if (!request.path.endsWith('scheduler_config.json')) return false;
      response.writeHead(403).end();
      return true;
    });
    await expect(home.fetch(id)).rejects.toThrow();
    const ref = join(home.folder, 'cache/hub/models--artists--painter/refs/main');
    expect(readFileSync(ref, 'utf8')).toBe(commit);
  });

  it('repairs a blob that is shorter than it should be', async () => {
    home.hub.add(id, pipeline);
    const { directory } = await home.fetch(id);
    const path = join(directory, 'text_encoder/model.safetensors');
    writeFileSync(path, 'short');
    expect((await home.fetch(id)).fetched).toBe(200_000);
    expect(readFileSync(path).length).toBe(200_000);
  });
});

describe('fetchModel of another repository', () => {
  it('takes descriptions and weights at the root of a model of transformers', async () => {
    home.hub.add(id, {
      'config.json': '{"model_type": "clip"}',
      'model.safetensors': 'weights',
      'pytorch_model.bin': 'weights',
      'preprocessor_config.json': '{}',
      'vocab.json': '{}',
      'merges.txt': '',
      'onnx/model.onnx': 'onnx',
    });
    const { directory } = await home.fetch(id);
    expect(below(directory)).toEqual([
      'config.json',
      'merges.txt',
      'model.safetensors',
      'preprocessor_config.json',
      'vocab.json',
    ]);
  });

  it('takes an adapter', async () => {
    home.hub.add(id, { 'adapter_config.json': '{}', 'adapter_model.safetensors': 'weights', 'README.md': '#' });
    const { directory } = await home.fetch(id);
    expect(below(directory)).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
  });

  it.each([
    {
      what: 'a pipeline of another class, before its weights',
      files: { ...pipeline, 'model_index.json': '{"_class_name": "FluxPipeline"}' },
      problem: 'FluxPipeline',
    },
    {
      what: 'a pipeline without a folder that its index names',
      files: Object.fromEntries(Object.entries(pipeline).filter(([path]) => !path.startsWith('tokenizer/'))),
      problem: `${id} lacks the folder tokenizer`,
    },
    {
      what: 'a component with weights of torch.save alone',
      files: { 'config.json': '{}', 'pytorch_model.bin': 'weights' },
      problem: '.bin files are not read: convert them',
    },
    {
      what: 'a repository without a model',
      files: { 'README.md': '#', 'sd3.5.safetensors': 'weights' },
      problem: 'Name the files that you want: --file NAME',
    },
    {
      what: 'shards that are not there',
      files: {
        'config.json': '{}',
        'model.safetensors.index.json': '{"weight_map": {"a": "model-00001-of-00001.safetensors"}}',
      },
      problem: `${id} has no file model-00001-of-00001.safetensors`,
    },
    {
      what: 'shards outside their folder',
      files: { 'config.json': '{}', 'model.safetensors.index.json': '{"weight_map": {"a": "../x.safetensors"}}' },
      problem: 'not in its own directory',
    },
    { what: 'a file outside the repository', files: { '../../.bashrc': 'x' }, problem: 'outside its own folder' },
  ])('refuses $what', async ({ files, problem }) => {
    home.hub.add(id, files);
    expect(await problemOf(home.fetch(id))).toContain(problem);
    expect(home.hub.requests.filter(({ path }) => path.startsWith('/storage'))).toEqual([]);
  });

  it.each([
    { name: 'pickscor', problem: 'did you mean pickscore?' },
    { name: 'a/b/c', problem: 'expected user/name of the hub, datasets/user/name, or a reward (' },
    { name: 'a/..', problem: 'expected user/name' },
  ])('refuses the name $name', async ({ name, problem }) => {
    await expect(home.fetch(name)).rejects.toThrow(ConfigError);
    expect(await problemOf(home.fetch(name))).toContain(problem);
  });
});

describe('a fetch of gigabytes', () => {
  const huge = { ...pipeline };
  /** Says that a file is larger than it is, and lets nobody fetch it. */
  function exaggerate(): void {
    home.hub.add(id, huge);
    home.hub.faults.push((request, response) => {
      if (!request.path.includes('/tree/')) return false;
      const files = Object.entries(huge).map(([path]) => ({ type: 'file', path, size: 3e8, oid: 'a'.repeat(40) }));
      response.end(JSON.stringify(files));
      return true;
    });
  }

  it('is refused where nobody can be asked', async () => {
    exaggerate();
    const files = ['one_model.safetensors', 'README.md', 'tokenizer/vocab.json', 'tokenizer/merges.txt'];
    expect(await problemOf(home.fetch(id, { files, freeBytes: () => 1e12 }))).toBe(
      '1.2 GB are to be fetched: say --yes where nobody can be asked',
    );
  });

  it('is asked about, and not made against the answer', async () => {
    exaggerate();
    const confirm = vi.fn(async () => false);
    const files = ['one_model.safetensors', 'README.md', 'tokenizer/vocab.json', 'tokenizer/merges.txt'];
    await expect(home.fetch(id, { files, confirm, freeBytes: () => 1e12 })).rejects.toThrow('were not wanted');
    expect(confirm).toHaveBeenCalledWith('Fetch 1.2 GB?');
    expect(home.hub.requests.filter(({ path }) => path.includes('/resolve/'))).toEqual([]);
  });

  it('is not begun where the disk has too little room', async () => {
    exaggerate();
    const problem = await problemOf(home.fetch(id, { files: ['README.md'], freeBytes: () => 2e8 }));
    expect(problem).toMatch(/expected 300 MB free, got 200 MB\. Make room there, or name another disk/);
  });
});

describe('offline', () => {
  it.each(['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'])(
    'takes what is in the cache under %s, and asks nobody',
    async (name) => {
      home.hub.add(id, pipeline);
      const { directory } = await home.fetch(id);
      home.hub.requests.length = 0;
      vi.stubEnv(name, '1');
      expect((await home.fetch(id)).directory).toBe(directory);
      expect(home.hub.requests).toEqual([]);
    },
  );

  it('says what is missing', async () => {
    home.hub.add(id, pipeline);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await problemOf(home.fetch(id))).toMatch(/is not in .*cache\/hub, and HF_HUB_OFFLINE is set: unset it/);
    vi.stubEnv('HF_HUB_OFFLINE', '0');
    const { directory } = await home.fetch(id);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    rmSync(join(directory, 'tokenizer'), { recursive: true });
    expect(await problemOf(home.fetch(id))).toContain(`${id} lacks the folder tokenizer`);
  });
});

describe('a data set', () => {
  const set = 'datasets/people/wishes';
  const files = { 'train.json': '["a fox"]', 'test/all.json': '["a boat"]', 'images.bin': '1234' };

  it('comes file by file, into the place where Python looks for it', async () => {
    const { commit } = home.hub.add(set, files);
    const { directory } = await home.fetch(set, { files: ['test/all.json', 'images.bin'] });
    expect(directory).toBe(join(home.folder, 'cache/hub/datasets--people--wishes/snapshots', commit));
    expect(below(directory)).toEqual(['images.bin', 'test/all.json']);
    expect(readFileSync(join(directory, 'test/all.json'), 'utf8')).toBe('["a boat"]');
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect((await home.fetch(`${set}@main`, { files: ['images.bin'] })).directory).toBe(directory);
  });

  it('is no model, and comes with no file unnamed', async () => {
    home.hub.add(set, files);
    expect(await problemOf(home.fetch(set))).toBe(
      'files: expected the files of datasets/people/wishes to fetch, each by --file NAME, got none',
    );
    expect(await problemOf(home.fetch(set, { files: ['trian.json'] }))).toContain('did you mean train.json?');
    expect(await problemOf(home.fetch('people/wishes', { files: ['train.json'] }))).toMatch(/no model people\/wishes/);
    expect(await problemOf(home.fetch('datasets/people/whishes', { files: ['train.json'] }))).toMatch(
      /there is no data set datasets\/people\/whishes/,
    );
  });
});

describe('the environment', () => {
  it('leads to the cache of HF_HUB_CACHE, with ~ as the home directory', async () => {
    home.hub.add(id, pipeline);
    vi.stubEnv('HOME', home.folder);
    vi.stubEnv('HF_HUB_CACHE', '~/elsewhere');
    expect((await home.fetch(id)).directory).toContain(join(home.folder, 'elsewhere/models--artists--painter'));
  });

  it('has the token that a login left, and sends it to the hub alone', async () => {
    home.hub.add(id, pipeline, { private: true });
    writeFileSync(join(home.folder, 'token'), 'hf_write0123456789\n');
    vi.stubEnv('HF_TOKEN_PATH', join(home.folder, 'token'));
    await home.fetch(id);
    const sent = home.hub.requests.filter(({ authorization }) => authorization !== undefined);
    expect(sent.length).toBeGreaterThan(0);
    expect(sent.filter(({ path }) => path.startsWith('/storage'))).toEqual([]);
  });

  it.each([
    { name: 'HF_ENDPOINT', value: 'ftp://x', problem: 'HF_ENDPOINT: expected an address of http or https' },
    { name: 'HF_ENDPOINT', value: 'http://me:secret@x', problem: 'without a user or a password' },
    { name: 'HF_TOKEN', value: 'hf_ä', problem: 'HF_TOKEN: expected a token in printable ASCII' },
  ])('with $name=$value is refused without the value', async ({ name, value, problem }) => {
    vi.stubEnv(name, value);
    const said = await problemOf(home.fetch(id));
    expect(said).toContain(problem);
    expect(said).not.toContain(value);
  });

  it('says no token in what is printed', async () => {
    home.hub.add(id, pipeline, { private: true });
    vi.stubEnv('HF_TOKEN', goodToken);
    const said = await problemOf(home.fetch(id));
    expect([said, ...home.lines].join('\n')).not.toContain(goodToken);
  });
});
