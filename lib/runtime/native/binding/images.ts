// Images of a data set and grids of images.

import type { Tensor } from '../tensor.js';

export interface ImageBinding {
  /** Puts batches of images, which differ in their first dimension alone, into one. */
  joinImages(parts: Tensor[]): Promise<Tensor>;
  /** Rows of a data set, scale·row + offset, each shifted by (down, right) pixels; `offset` comes into view. */
  gatherImages(
    images: Tensor,
    indices: Int32Array,
    shifts: Int32Array | undefined,
    scale: number,
    offset: number,
  ): Promise<Tensor>;
  /** [B, C, H, W] in [0, 1] to rows of bytes, clamped and rounded, one image grid of `columns` columns. */
  imageGrid(
    images: Tensor,
    columns: number,
    padding: number,
  ): Promise<{ width: number; height: number; channels: number; data: Uint8Array }>;
}
