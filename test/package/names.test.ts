// A model's or a reward's name stands in its own rooms and in the lists of kinds: what is general knows none by name,
// so that a new one touches its own folders and the lists. Comments and documentation may name whom they like.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Where every name may stand: lists, and what is generated from them. */
const lists = [
  'lib/index.ts',
  'lib/models/kinds.ts',
  'lib/models/shipped.ts',
  'lib/rewards/examples.ts',
  'lib/rewards/kinds.ts',
  'lib/jobs/settings/config.generated.ts',
  'lib/runtime/native/networks.generated.ts',
  'native/nn/kind_list.h',
];

interface Name {
  /** As it is written in code. */
  pattern: RegExp;
  /** Folders and files that are its own, or are made of it. */
  rooms: readonly string[];
}

const published = ['lib/rewards/published/', 'native/nn/rewards/'];
const names: Readonly<Record<string, Name>> = {
  'Stable Diffusion 3': {
    pattern: /sd-?3|(?<!docs\/)stable.?diffusion/i,
    rooms: ['lib/models/sd3/', 'native/nn/sd3/'],
  },
  'FLUX.2': {
    pattern: /flux/i,
    rooms: ['lib/models/flux2/', 'native/nn/flux2/'],
  },
  Qwen3: {
    pattern: /qwen/i,
    rooms: ['lib/models/flux2/', 'native/nn/qwen3/'],
  },
  'the digits': {
    pattern:
      /\bDigits|\bDigit(Class|Judge)|\bdigit(s[A-Z]|Class|Judge|Of\b)|digit[-_]|['"`/]digits?['"`/]|[mM]nist|MNIST/,
    rooms: ['lib/models/digits/', 'lib/rewards/digit-classifier/', 'native/nn/digits/'],
  },
  'the Gaussian mixture': {
    pattern: /gaussian.?mixture/i,
    rooms: [
      'lib/models/gaussian-mixture.ts',
      'lib/cli/fidelity.ts',
      'lib/jobs/fidelity/',
      'native/nn/mixture/',
      // The distribution, of which the model is made.
      'native/ops/gaussian_mixture.',
      'native/addon/bindings/fidelity.cpp',
      'lib/runtime/native/binding/fidelity.ts',
    ],
  },
  'a network of TorchScript': {
    pattern: /torch-?script/i,
    rooms: [
      'lib/models/torchscript/',
      'native/nn/torchscript/',
      // The reward that is one, and what both are read by.
      'lib/rewards/torchscript.ts',
      'lib/files/torchscript.ts',
      'native/io/torch_file.cpp',
      'lib/runtime/native/binding/rewards.ts',
      'native/nn/rewards/torchscript_reward.',
      'native/addon/bindings/torchscript.cpp',
      'native/addon/bindings/addon.cpp',
      'native/addon/runtime/addon.h',
    ],
  },
  'the autoencoder of latent diffusion': {
    pattern: /autoencoder.?kl/i,
    rooms: [
      'lib/models/sd3/',
      'lib/models/flux2/',
      'lib/models/autoencoder-kl/',
      'native/nn/autoencoder_kl/',
      'native/nn/flux2/',
    ],
  },
  CLIP: {
    pattern: /\bCLIP\b|[cC]lip(Text|Vision|Tower|Reward|Score|Tokenizer|Model|Dir|Norm|L\b|G\b)|\bclip_|open.?clip/,
    rooms: [...published, 'lib/models/sd3/', 'lib/models/tokenizers/clip.ts', 'native/nn/clip/'],
  },
  T5: {
    pattern: /\bT5|\bt5\b|\bt5[-_]|[a-z]T5[A-Z]/,
    rooms: ['lib/models/sd3/', 'lib/models/tokenizers/t5.ts', 'native/nn/t5/'],
  },
  BLIP: {
    pattern: /blip|\bbert/i,
    rooms: [...published, 'lib/models/tokenizers/bert.ts', 'native/nn/blip/'],
  },
  'a reward that asks a service': {
    pattern: /openai(?!\/)|httpReward|httpKind/i,
    rooms: ['lib/rewards/services/'],
  },
  'a published reward': {
    pattern: /pick.?score|hpsv2|\bhps\b|imagereward|aesthetic/,
    rooms: published,
  },
};

/** The code of a file without its comments, of which each line stays a line. */
function codeOf(path: string, text: string): string {
  const blank = (comment: string) => comment.replace(/[^\n]/g, ' ');
  if (!path.endsWith('.ts')) return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, blank);
  const scanner = ts.createScanner(ts.ScriptTarget.Latest, /* skipTrivia */ false, ts.LanguageVariant.Standard, text);
  let code = '';
  const templates: number[] = [];
  for (let token = scanner.scan(); token !== ts.SyntaxKind.EndOfFileToken; token = scanner.scan()) {
    // A template's parts after the first are told from a block's end by who opened it.
    if (token === ts.SyntaxKind.TemplateHead) templates.push(0);
    else if (templates.length && token === ts.SyntaxKind.OpenBraceToken) templates[templates.length - 1]!++;
    else if (templates.length && token === ts.SyntaxKind.CloseBraceToken) {
      if (templates.at(-1) === 0) {
        token = scanner.reScanTemplateToken(false);
        if (token === ts.SyntaxKind.TemplateTail) templates.pop();
      } else templates[templates.length - 1]!--;
    }
    const isComment = token === ts.SyntaxKind.SingleLineCommentTrivia || token === ts.SyntaxKind.MultiLineCommentTrivia;
    code += isComment ? blank(scanner.getTokenText()) : scanner.getTokenText();
  }
  return code;
}

/** `PATH:LINE: NAME: the line` for each name outside its rooms. */
function strangers(path: string, text: string): string[] {
  if (lists.includes(path)) return [];
  const lines = codeOf(path, text).split('\n');
  return Object.entries(names).flatMap(([name, { pattern, rooms }]) => {
    if (rooms.some((room) => path.startsWith(room))) return [];
    return lines.flatMap((line, index) =>
      pattern.test(line) ? [`${path}:${index + 1}: ${name}: ${line.trim()}`] : [],
    );
  });
}

const sources = ['lib', 'native'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter((path) => /\.(ts|cpp|h|inc|cu|cuh|c)$/.test(path) && !/^native\/(test|bench|fuzz)\//.test(path)),
);

describe('the names of models and rewards', () => {
  it('stand only in their own rooms and in the lists of kinds', () => {
    expect(sources.length).toBeGreaterThan(300);
    expect(sources.flatMap((path) => strangers(path, readFileSync(join(root, path), 'utf8')))).toEqual([]);
  });

  it.each([
    { path: 'lib/jobs/merge.ts', text: "import { readSd3Directory } from '../models/sd3/directory.js';" },
    { path: 'lib/cli/sample.ts', text: "const source = flags.model ?? 'digits';" },
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a file
    { path: 'lib/training/trainer.ts', text: 'const text = `a ${x} of CLIP`;' },
    { path: 'native/addon/bindings/networks.cpp', text: '#include "nn/t5/t5_encoder.h"' },
    { path: 'native/algorithms/eam.cpp', text: 'nn::DigitsModel model;' },
    { path: 'lib/rewards/registry.ts', text: "case 'pickscore':" },
  ])('are found elsewhere: $text in $path', ({ path, text }) => {
    expect(strangers(path, text)).not.toEqual([]);
  });

  it.each([
    { path: 'lib/jobs/merge.ts', text: "/** `'digits'` or a directory of Stable Diffusion 3. */ // CLIP" },
    { path: 'native/algorithms/eam.cpp', text: '// as the digits do\nconst int digits = 3, clipped = 2;' },
    { path: 'lib/models/sd3/text.ts', text: 'loadClipTokenizer(path); loadT5Tokenizer(path);' },
  ])('are accepted in comments, at home, and where a word is a word: $text', ({ path, text }) => {
    expect(strangers(path, text)).toEqual([]);
  });
});
