import type { ImageBytes } from '../../files/png/write.js';

/** Pixels between pictures of one pair, and around pairs. */
const gap = { within: 2, around: 8 };

/**
 * Puts rows of pictures into one: each row's pictures side by side, rows below one another in as many columns as make
 * the whole about square.
 * @param rows of as many pictures each, all of one size
 */
export function sheetOf(rows: readonly (readonly ImageBytes[])[]): ImageBytes {
  const [first] = rows[0]!;
  const { width, height } = first!;
  const count = rows[0]!.length;
  const cell = { width: count * width + (count - 1) * gap.within + gap.around, height: height + gap.around };
  const columns = Math.max(1, Math.round(Math.sqrt((rows.length * cell.height) / cell.width)));
  const sheet = {
    width: columns * cell.width + gap.around,
    height: Math.ceil(rows.length / columns) * cell.height + gap.around,
    channels: 3,
  };
  const data = new Uint8Array(3 * sheet.width * sheet.height).fill(255);
  for (const [at, pictures] of rows.entries()) {
    const top = gap.around + Math.floor(at / columns) * cell.height;
    for (const [place, picture] of pictures.entries()) {
      const left = gap.around + (at % columns) * cell.width + place * (width + gap.within);
      paste(picture, { ...sheet, data }, top, left);
    }
  }
  return { ...sheet, data };
}

function paste({ width, height, channels, data }: ImageBytes, sheet: ImageBytes, top: number, left: number): void {
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const from = (y * width + x) * channels + (channels < 3 ? 0 : channel);
        sheet.data[3 * ((top + y) * sheet.width + left + x) + channel] = data[from]!;
      }
    }
  }
}
