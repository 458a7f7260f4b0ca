// The tiny Stable Diffusion 3, and copies of it with something changed.
import { DirectoryCopy } from './directory-copy.js';
import { fixture } from './published.js';

export const tinySd3 = fixture('sd35-tiny');

export class Sd3Copy extends DirectoryCopy {
  constructor() {
    super(tinySd3);
  }
}
