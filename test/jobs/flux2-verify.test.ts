// `eam verify` of FLUX.2 [klein]: the reference directory, and directories of other sizes and settings.
import { rm } from 'node:fs/promises';

import { describe, expect, it } from 'vitest';

import { loadTensors, readHeader, saveTensors } from '../../lib/files/safetensors.js';
import { verify } from '../../lib/jobs/verify/verify.js';
import { passes, type Finding } from '../../lib/models/verification/finding.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { eam } from '../helpers/command-line.js';
import { Flux2Copy, otherFlux2, tinyFlux2 } from '../helpers/flux2.js';
import { numbersOf } from '../helpers/numbers.js';
import { refusal } from '../helpers/refusal.js';

async function all(directory: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of verify(directory)) findings.push(finding);
  return findings;
}

const failed = (findings: Finding[]): string[] =>
  findings.flatMap((finding) => ('error' in finding && !passes(finding) ? [finding.name] : []));

/** Writes a copy's file of tensors anew, with what `change` makes of them. */
async function rewrite(
  copy: Flux2Copy,
  file: string,
  change: (tensors: Record<string, Tensor>) => void | Promise<void>,
): Promise<Flux2Copy> {
  const path = copy.file(file);
  const { metadata } = await readHeader(path);
  const tensors = await loadTensors(path);
  await change(tensors);
  await rm(path);
  await saveTensors(path, tensors, metadata);
  return copy;
}

describe('eam verify of FLUX.2', () => {
  it('agrees with diffusers in every golden of the reference directory', async () => {
    const { code, stdout, stderr } = await eam('verify', tinyFlux2);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim().split('\n').at(-1)).toBe('121 of 121 goldens within 0.0001 of their scale');
    expect(stdout).toMatch(/^ *0\.0e\+0 {2}pass {2}scheduler\.sigmas\.28\.9216$/m);
  });

  it.each(['three-heads', 'double-only', 'single-only'] as const)('agrees with it at other sizes: %s', async (name) => {
    const findings = await all(otherFlux2(name));
    expect(findings.filter((finding) => 'notChecked' in finding)).toEqual([]);
    expect(failed(findings)).toEqual([]);
    const scheduled = findings.filter((finding) => finding.name.startsWith('scheduler.'));
    expect(scheduled).toHaveLength(8);
    for (const finding of scheduled) expect(finding).toMatchObject({ error: 0 });
    expect(findings.length).toBeGreaterThan(30);
  });

  it.each([
    {
      file: 'transformer/diffusion_pytorch_model.safetensors',
      tensor: 'single_transformer_blocks.2.attn.norm_k.weight',
      wrong: 'transformer.wide.sample',
      right: 'prompt_embeds',
    },
    {
      file: 'text_encoder/model.safetensors',
      tensor: 'model.layers.26.self_attn.q_norm.weight',
      wrong: 'prompt_embeds',
      right: 'transformer.wide.sample',
    },
    {
      file: 'vae/diffusion_pytorch_model.safetensors',
      tensor: 'bn.running_var',
      wrong: 'vae.encode_mean',
      right: 'ids.qwen3',
    },
  ])('fails where $tensor is wrong', async ({ file, tensor, wrong, right }) => {
    const copy = await rewrite(new Flux2Copy(), file, async (tensors) => {
      const numbers = await numbersOf(tensors[tensor]!);
      tensors[tensor] = Tensor.from(
        Float32Array.from(numbers, (value, index) => (index === 1 ? 2 * value + 1 : value)),
        tensors[tensor]!.shape,
      );
    });
    const names = failed(await all(copy.path));
    expect(names).toContain(wrong);
    expect(names).not.toContain(right);
  });

  it('does not need the layers above the last state that is read', async () => {
    const copy = await rewrite(new Flux2Copy(), 'text_encoder/model.safetensors', (tensors) => {
      for (const name of Object.keys(tensors)) if (/^model\.(layers\.27\.|norm)/.test(name)) delete tensors[name];
    });
    expect(failed(await all(copy.path))).toEqual([]);
  });

  it('refuses levels without a number of tokens', async () => {
    const copy = await rewrite(new Flux2Copy(), 'goldens.safetensors', (tensors) => {
      tensors['scheduler.sigmas.28'] = tensors['scheduler.sigmas.28.9216']!;
    });
    expect(await refusal(all(copy.path))).toMatch(
      /expected scheduler\.sigmas\.STEPS\.TOKENS, got scheduler\.sigmas\.28/,
    );
  });

  it('compares token ids, masks and numbers one by one where the goldens lack the others', async () => {
    const copy = await rewrite(new Flux2Copy(), 'goldens.safetensors', (tensors) => {
      for (const name of Object.keys(tensors))
        if (!/^(prompt_embeds|vae\.image|vae\.latents)$/.test(name)) delete tensors[name];
    });
    const findings = await all(copy.path);
    expect(findings.map(({ name }) => name)).toEqual(['prompt_embeds', 'vae.image']);
    expect(failed(findings)).toEqual([]);
  });
});
