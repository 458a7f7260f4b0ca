import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { nameOfSnapshot, parseHubName } from '../../files/hub-cache.js';
import { exportAdapter, readAdapterConfig } from '../../models/adapter-files.js';
import { readJson } from '../../schema/json.js';
import { abortSignal, callback, checkOptions, checkText } from '../../schema/options.js';
import { expected } from '../../schema/validate.js';
import type { Evaluation } from '../../training/evaluation.js';
import type { StepMetrics } from '../../training/metrics.js';
import { adapterDirectory, RunDirectory } from '../run-directory.js';
import { runOf } from '../run-record.js';
import { digestOf } from './download.js';
import { HubError } from './error.js';
import { listRepository } from './listing.js';
import { cardMark, modelCard, type Card } from './model-card.js';
import { hubSettings, isOffline } from './settings.js';
import { openHub, type Hub, type HubOptions } from './transport.js';

/** Options of {@link pushAdapter}. */
export interface PushOptions extends HubOptions {
  /** `user/name` of the model that the adapter was trained on, where the adapter names a folder. */
  base?: string | undefined;
  /** Whether a new repository may be seen by everybody; default false. */
  public?: boolean | undefined;
  /** The title of the commit. */
  message?: string | undefined;
}

/** What {@link pushAdapter} uploaded. */
export interface Pushed {
  /** The address of its page. */
  url: string;
  /** The commit that the upload made. */
  commit: string;
  /** The paths of the files in the repository. */
  files: string[];
}

const optionsShape = {
  signal: abortSignal,
  report: callback,
  pacing: z.unknown(),
  base: z.string().min(1),
  public: z.boolean(),
  message: z.string().min(1),
};

/** A file to upload: one on the disk, or a text. */
type Upload = { path: string; file: string } | { path: string; text: string };

/**
 * Uploads an adapter with a model card to the hub, in one commit. The adapter's own settings name the base as the hub
 * does, and no folder of this machine.
 *
 * @param source an adapter's directory, or a run's: of that, the newest checkpoint
 * @param name `user/name`, which is made where it is not there: private, unless `public`
 * @throws ConfigError for a name or options that do not fit; CheckpointError where there is no adapter; HubError where
 *   the hub refuses, or has another file afterwards; the signal's reason
 */
export async function pushAdapter(source: string, name: string, options: PushOptions = {}): Promise<Pushed> {
  checkText(source, 'source', 'pushAdapter');
  checkText(name, 'name', 'pushAdapter');
  checkOptions(optionsShape, options, 'pushAdapter options');
  const { report = () => {}, base: named } = options;
  const asked = parseHubName(name);
  if (asked?.revision !== 'main') throw new ConfigError(expected('name', 'user/name of the hub', name));
  const namedBase = named === undefined ? undefined : parseHubName(named)?.id;
  if (named !== undefined && namedBase === undefined)
    throw new ConfigError(expected('base', 'user/name of the hub', named));
  const directory = await adapterDirectory(source, (error) => report(`passed over: ${error.message}`));
  const adapter = await readAdapterConfig(directory);
  if (isOffline()) throw new HubError('HF_HUB_OFFLINE is set: unset it to push to the hub');
  const settings = hubSettings();
  if (!settings.token)
    throw new HubError(
      `a push needs a token with the permission to write: make one at ${settings.endpoint}/settings/tokens and set ` +
        'HF_TOKEN to it',
    );
  const base = namedBase ?? hubNameOf(adapter.base);
  if (base === undefined)
    report('the card names no base model, since the adapter names none of the hub: --base user/name');
  const hub = openHub(settings, asked, options);
  const aside = mkdtempSync(join(tmpdir(), 'eam-push-'));
  try {
    const uploads = await adapterFiles(directory, base, join(aside, 'diffusers'));
    const run = runOf(directory);
    const forDiffusers = base !== undefined;
    uploads.push(...(await described(run, { id: asked.id, base, adapter, forDiffusers })));
    await makeRepository(hub, options);
    const { files: there } = await listRepository(hub);
    const kept = there.some(({ path }) => path === 'README.md') && !(await isOurCard(hub));
    if (kept) report('README.md is kept as it is: somebody else wrote it');
    return await upload(hub, kept ? uploads.filter(({ path }) => path !== 'README.md') : uploads, options);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

/** The name on the hub of what an adapter calls its base: one of a snapshot in the cache has it in its path. */
function hubNameOf(base: string | undefined): string | undefined {
  if (base === undefined) return undefined;
  return nameOfSnapshot(base)?.id ?? (existsSync(base) ? undefined : parseHubName(base)?.id);
}

/** The adapter in its own layout, and for a base of the hub's in that of diffusers, too. */
async function adapterFiles(directory: string, base: string | undefined, aside: string): Promise<Upload[]> {
  const weights = ['adapter_model.safetensors', 'pytorch_lora_weights.safetensors'].filter((name) =>
    existsSync(join(directory, name)),
  );
  const uploads: Upload[] = weights.map((path) => ({ path, file: join(directory, path) }));
  const settings = join(directory, 'adapter_config.json');
  if (existsSync(settings)) {
    const json = { ...((await readJson(settings)) as object), base_model_name_or_path: base ?? null };
    uploads.push({ path: basename(settings), text: `${JSON.stringify(json, null, 2)}\n` });
  }
  if (base === undefined || weights.includes('pytorch_lora_weights.safetensors')) return uploads;
  await exportAdapter(directory, aside, 'diffusers');
  const path = 'pytorch_lora_weights.safetensors';
  return [...uploads, { path, file: join(aside, path) }];
}

/** The card, and the grids that it shows. */
async function described(
  run: string | undefined,
  known: Pick<Card, 'id' | 'base' | 'adapter' | 'forDiffusers'>,
): Promise<Upload[]> {
  if (run === undefined)
    return [cardFile({ ...known, config: undefined, metrics: [], evaluation: undefined, grids: [] })];
  const directory = RunDirectory.existing(run);
  const metrics = await directory.readMetrics<StepMetrics>();
  const evaluation = join(run, 'evaluation.json');
  const grids = [0, metrics.at(-1)?.step ?? 0]
    .filter((step, index, steps) => steps.indexOf(step) === index && existsSync(directory.samples(step)))
    .map((step) => ({ step, path: `images/step-${step}.png`, file: directory.samples(step) }));
  const card = cardFile({
    ...known,
    config: (await readJson(join(run, 'config.json'))) as Record<string, unknown>,
    metrics,
    evaluation: existsSync(evaluation) ? ((await readJson(evaluation)) as Evaluation) : undefined,
    grids,
  });
  return [card, ...grids.map(({ path, file }) => ({ path, file }))];
}

const cardFile = (card: Card): Upload => ({ path: 'README.md', text: modelCard(card) });

/** The client asks for a token that begins like the public hub's; the transport sends the one there is. */
const anyToken = 'hf_';

async function makeRepository(hub: Hub, { report = () => {}, public: isPublic = false }: PushOptions): Promise<void> {
  const { settings, asked, fetch } = hub;
  const { createRepo } = await import('@huggingface/hub');
  const visibility = isPublic ? 'public' : 'private';
  try {
    await createRepo({ repo: asked.id, visibility, accessToken: anyToken, hubUrl: settings.endpoint, fetch });
    report(`made ${settings.endpoint}/${asked.id}, which is ${visibility}`);
  } catch (error) {
    // It is there already.
    if ((error as Partial<HubError>).status !== 409) throw error;
  }
}

async function isOurCard({ settings, asked, fetch }: Hub): Promise<boolean> {
  const response = await fetch(`${settings.endpoint}/${asked.id}/resolve/main/README.md`);
  return (await response.text()).includes(cardMark);
}

async function upload(
  hub: Hub,
  uploads: readonly Upload[],
  { report = () => {}, message }: PushOptions,
): Promise<Pushed> {
  const { settings, asked, fetch } = hub;
  const { uploadFiles } = await import('@huggingface/hub');
  const done = await uploadFiles({
    repo: asked.id,
    files: uploads.map((each) => ({
      path: each.path,
      content: 'file' in each ? pathToFileURL(each.file) : new Blob([each.text]),
    })),
    commitTitle: message ?? 'Upload an adapter with eam push',
    hubUrl: settings.endpoint,
    fetch,
  });
  const { files } = await listRepository(hub);
  for (const each of uploads) {
    const there = files.find(({ path }) => path === each.path);
    const right = 'file' in each && there ? await digestOf(each.file, there) : there?.blob;
    if (!there || there.blob !== right)
      throw new HubError(expected(`${asked.id}/${each.path}`, 'the file that was uploaded', there?.blob ?? 'none'));
    report(`${asked.id}/${each.path}: uploaded`);
  }
  return {
    url: `${settings.endpoint}/${asked.id}`,
    commit: done?.commit.oid ?? '',
    files: uploads.map(({ path }) => path),
  };
}
