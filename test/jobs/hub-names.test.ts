// Names of the hub's where a model, a reward or an adapter is wanted: read from the cache, and never asked for.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it, vi } from 'vitest';

import { pathOrHubName, parseHubName } from '../../lib/files/hub-cache.js';
import { modelSettings } from '../../lib/jobs/settings/model.js';
import { adapterDirectory } from '../../lib/jobs/run-directory.js';
import { sample } from '../../lib/jobs/sample/sample.js';
import { loadModel } from '../../lib/models/registry.js';
import { createRewards, locateReward, parseReward } from '../../lib/rewards/registry.js';
import { binding } from '../../lib/runtime/native/index.js';
import { clipScore } from '../../lib/rewards/published/clip-score.js';
import { eam } from '../helpers/command-line.js';
import { rewardDirectory } from '../helpers/reward-directories.js';
import { contents, hubHome, problemOf } from '../helpers/hub-home.js';
import { tinySd3Files } from '../helpers/hub-models.js';
import { tinySd3 } from '../helpers/sd3.js';

const home = hubHome();
const id = 'artists/painter';

// LibTorch is in the cache that each test replaces by its own.
beforeAll(() => void binding());

describe('a name of the hub', () => {
  it.each([
    { text: 'user/name', name: { id: 'user/name', revision: 'main' } },
    {
      text: 'stabilityai/stable-diffusion-3.5-medium',
      name: { id: 'stabilityai/stable-diffusion-3.5-medium', revision: 'main' },
    },
    { text: 'user/name@refs/pr/3', name: { id: 'user/name', revision: 'refs/pr/3' } },
    ...[
      'https://huggingface.co/user/name',
      'http://www.huggingface.co/user/name/',
      'HTTPS://HuggingFace.co/user/name?library=diffusers#usage',
      'https://hf.co/user/name/tree/main',
    ].map((text) => ({ text, name: { id: 'user/name', revision: 'main' } })),
    { text: 'https://huggingface.co/user/name/tree/v1', name: { id: 'user/name', revision: 'v1' } },
    { text: 'https://huggingface.co/user/name/tree/refs%2Fpr%2F3', name: { id: 'user/name', revision: 'refs/pr/3' } },
    ...[
      'name',
      './user/name',
      '/user/name',
      '../name',
      'a/b/c',
      'user/name@',
      'user/name@../x',
      'a/b.safetensors',
      'models/sd35',
      'https://example.org/user/name',
      'https://huggingface.co.example.org/user/name',
      'https://huggingface.co/user',
      'https://huggingface.co/datasets/user/name',
      'https://huggingface.co/spaces/user',
      'https://huggingface.co/user/name/tree/v1/transformer',
      'https://huggingface.co/user/name/blob/main/README.md',
      'https://huggingface.co/user/name/tree/..%2F..%2Fx',
    ].map((text) => ({ text, name: undefined })),
  ])('$text is read as $name', ({ text, name }) => expect(parseHubName(text)).toEqual(name));

  it('is read from the address of another hub, which HF_ENDPOINT names', () => {
    vi.stubEnv('HF_ENDPOINT', 'https://mirror.example.org/hf/');
    expect(parseHubName('https://mirror.example.org/hf/user/name/tree/v1')).toEqual({
      id: 'user/name',
      revision: 'v1',
    });
    expect(parseHubName('https://huggingface.co/user/name')).toEqual({ id: 'user/name', revision: 'main' });
    expect(parseHubName('https://mirror.example.org/user/name')).toBeUndefined();
  });

  it('is what a configuration keeps of an address', () => {
    expect(modelSettings.model.parse('https://huggingface.co/user/name/tree/v1')).toBe('user/name@v1');
  });

  it('stays what it is in a configuration, and a folder of that name comes first', () => {
    expect(modelSettings.model.parse('user/name')).toBe('user/name');
    expect(pathOrHubName('test/fixtures')).toMatch(/^\/.*\/test\/fixtures$/);
  });
});

describe('loadModel', () => {
  it('takes the name of a model in the cache, and says the same name of it', async () => {
    home.hub.add(id, tinySd3Files());
    await home.fetch(id);
    home.hub.requests.length = 0;
    using model = await loadModel(id);
    expect(model.source).toBe(id);
    expect(home.hub.requests).toEqual([]);
  });

  it('says the command for a model that is not there', async () => {
    const problem = await problemOf(loadModel(id));
    expect(problem).toContain('no model at "artists/painter": ');
    expect(problem).toMatch(
      /; the hub's cache, .*\/hub, does not have it\. If .*, fetch it: eam fetch artists\/painter$/,
    );
    expect(await problemOf(loadModel(`${id}@v1`))).toMatch(/eam fetch artists\/painter --revision v1$/);
  });
});

describe('half a copy of a model', () => {
  const half = () => {
    const { 'transformer/config.json': _, ...rest } = tinySd3Files();
    return rest;
  };

  it('in the cache is told with the file that it lacks and the command that fetches it', async () => {
    const { commit } = home.hub.add(id, half());
    await home.fetch(id, { files: ['model_index.json'] });
    const snapshot = join(home.folder, `cache/hub/models--artists--painter/snapshots/${commit}`);
    const lack = `${snapshot} lacks transformer/config.json, which its model_index.json names; fetch the rest: `;
    expect(await problemOf(loadModel(id))).toBe(`${lack}eam fetch artists/painter`);
    expect(await problemOf(loadModel(`https://huggingface.co/${id}`))).toBe(`${lack}eam fetch artists/painter`);
    home.hub.add(id, tinySd3Files());
    await home.fetch(id, { files: ['README.md'] }).catch(() => {});
    writeFileSync(join(home.folder, 'cache/hub/models--artists--painter/refs/main'), '1'.repeat(40));
    expect(await problemOf(loadModel(snapshot))).toBe(`${lack}eam fetch artists/painter --revision ${commit}`);
  });

  it('in a folder is told with the file that it lacks, by eam sample, too', async () => {
    home.hub.add(id, half());
    const to = join(home.folder, 'half');
    await home.fetch(id, { to, files: ['model_index.json'] });
    const { code, stderr } = await eam(
      'sample',
      '--quiet',
      '--model',
      to,
      '--prompt',
      'x',
      '--out',
      join(home.folder, 'x.png'),
    );
    expect([code, stderr]).toEqual([
      1,
      `error: ${to} lacks transformer/config.json, which its model_index.json names\n`,
    ]);
  });
});

describe('eam sample', () => {
  it('draws with a model and an adapter that are named as on the hub', async () => {
    home.hub.add(id, tinySd3Files());
    home.hub.add('artists/style', contents(join(tinySd3, 'lora_peft')));
    await home.fetch(id);
    await home.fetch('artists/style');
    const { signal } = new AbortController();
    const draw = async (model: string, adapter: string, out: string) => {
      const path = join(home.folder, out);
      await sample(
        { model, adapter: [adapter], prompts: ['a cat'], seed: 1, steps: 2, out: path, dtype: 'float32' },
        { onNote: () => {}, signal },
      );
      return readFileSync(path);
    };
    const named = await draw(id, 'artists/style', 'named.png');
    const local = await draw(tinySd3, join(tinySd3, 'lora_peft'), 'local.png');
    // The pictures' texts have the model's name.
    expect(pixels(named).equals(pixels(local))).toBe(true);
  });

  it('says the command for an adapter that is not there', async () => {
    expect(await problemOf(adapterDirectory('artists/style', () => {}))).toMatch(
      /^there is no adapter at artists\/style; .* fetch it: eam fetch artists\/style$/,
    );
  });
});

/** The compressed pixels of a PNG. */
function pixels(png: Buffer): Buffer {
  const begin = png.indexOf('IDAT');
  return png.subarray(begin, begin + 4 + png.readUInt32BE(begin - 4));
}

describe('eam distill', () => {
  it('says the command for a model that is not there', async () => {
    const { code, stderr } = await eam('distill', id);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /no model and no configuration at artists\/painter; .* fetch it: eam fetch artists\/painter$/m,
    );
  });
});

describe('a published reward', () => {
  const clip = () => contents(rewardDirectory('clipscore'));

  it('takes the name of its directory on the hub', async () => {
    home.hub.add('somebody/clip', clip());
    expect(await problemOf(clipScore('somebody/clip').load())).toContain('fetch it: eam fetch somebody/clip');
    await home.fetch('somebody/clip');
    using reward = clipScore('somebody/clip');
    await reward.load();
    await createRewards([parseReward('clipscore=somebody/clip')], 'cpu');
  });

  it('is fetched by its name from the repositories of its files, and found without a directory', async () => {
    expect(await problemOf(createRewards([parseReward('clipscore')], 'cpu'))).toMatch(/fetch it: eam fetch clipscore$/);
    const { commit } = home.hub.add('openai/clip-vit-large-patch14', clip());
    const { directory } = await home.fetch('clipscore');
    expect(directory).toBe(join(home.folder, 'own/eam-torch/rewards/clipscore'));
    await createRewards([parseReward('clipscore')], 'cpu');
    // What a record keeps of it: no path of this home.
    expect(parseReward('clipscore')).toEqual({ name: 'clipscore', weight: 1 });
    expect(await locateReward(parseReward('clipscore'))).toMatchObject([
      { path: join(directory, 'model.safetensors') },
    ]);
    expect(commit).toMatch(/^[0-9a-f]{40}$/);
    home.hub.requests.length = 0;
    expect((await home.fetch('clipscore')).fetched).toBe(0);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect((await home.fetch('clipscore')).directory).toBe(directory);
  });

  it('comes from several repositories into one folder, with --to', async () => {
    const { 'config.json': config, 'model.safetensors': model } = clip();
    home.hub.add('yuvalkirstain/PickScore_v1', { 'config.json': config!, 'model.safetensors': model! });
    home.hub.add('laion/CLIP-ViT-H-14-laion2B-s32B-b79K', clip());
    const to = join(home.folder, 'pickscore');
    await home.fetch('pickscore', { to });
    await createRewards([parseReward(`pickscore=${to}`)], 'cpu');
  });

  it('is refused where a repository lacks one of its files', async () => {
    home.hub.add('xswu/HPSv2', { 'HPS_v2_compressed.pt': 'weights' });
    expect(await problemOf(home.fetch('hpsv2'))).toBe(
      'xswu/HPSv2 lacks HPS_v2.1_compressed.pt, of which hpsv2 is made',
    );
  });

  it('is refused where a copy is not what its authors published', async () => {
    home.hub.add('camenduru/improved-aesthetic-predictor', { 'sac+logos+ava1-l14-linearMSE.pth': 'another' });
    expect(await problemOf(home.fetch('aesthetic'))).toMatch(
      /expected SHA-256 21dd590f.*, as its authors' file has, got/,
    );
  });

  it.each([{ revision: 'v1' }, { variant: 'fp16' }, { files: ['config.json'] }])(
    'does not go with %o',
    async (options) => {
      await expect(home.fetch('clipscore', options)).rejects.toThrow(
        'does not go with clipscore, whose files are known',
      );
    },
  );

  it('that is not whole is said so offline', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await problemOf(home.fetch('clipscore'))).toMatch(/clipscore is not whole in .*, which lacks config\.json/);
  });
});

describe('a cache that another program filled', () => {
  it('is read where its snapshot is a folder of plain files', async () => {
    const { commit } = home.hub.add(id, tinySd3Files());
    const { directory } = await home.fetch(id, {
      to: join(home.folder, `cache/hub/models--artists--painter/snapshots/${'1'.repeat(40)}`),
    });
    expect(directory).not.toContain(commit);
    using model = await loadModel(`${id}@${'1'.repeat(40)}`);
    expect(model.name).toBe('stable-diffusion-3');
  });

  it('of which a reference is damaged counts as without it', async () => {
    home.hub.add(id, tinySd3Files());
    await home.fetch(id);
    writeFileSync(join(home.folder, 'cache/hub/models--artists--painter/refs/main'), '../../..');
    expect(await problemOf(loadModel(id))).toContain('fetch it: eam fetch artists/painter');
  });
});
