// The tiny FLUX.2 [klein], those of other sizes, and copies of them with something changed.
import { DirectoryCopy } from './directory-copy.js';
import { fixture } from './published.js';

export const tinyFlux2 = fixture('flux2-klein-tiny');

/** Directories of other sizes and settings, which test/fixtures/flux2-shapes/generate.py wrote. */
export const otherFlux2 = (name: 'three-heads' | 'double-only' | 'single-only'): string =>
  fixture(`flux2-shapes/${name}`);

export class Flux2Copy extends DirectoryCopy {
  constructor(source = tinyFlux2) {
    super(source);
  }
}
