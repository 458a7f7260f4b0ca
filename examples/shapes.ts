// Small drawn images of circles, squares and triangles in three colours: what colour-shapes.ts beside this file trains
// on, and what it measures of the images that a model draws.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { encodeGrid, sampleImages, Tensor, type Model } from 'eam-torch';

/** Pixels a side. */
export const size = 16;
const colours = { red: [1, 0.2, 0.2], green: [0.2, 0.9, 0.2], blue: [0.3, 0.3, 1] };
/** Whether a point is in a shape of radius 1 around the origin. */
const shapes = {
  circle: (x: number, y: number) => x * x + y * y < 1,
  square: (x: number, y: number) => Math.max(Math.abs(x), Math.abs(y)) < 0.85,
  triangle: (x: number, y: number) => y < 0.7 && 2 * Math.abs(x) < y + 1,
};

export const captions = Object.keys(colours).flatMap((colour) =>
  Object.keys(shapes).map((shape) => `a ${colour} ${shape}`),
);

/** Draws `count` images, a caption after the other, into a folder with its labels.jsonl. */
export async function drawShapes(folder: string, count: number): Promise<void> {
  mkdirSync(folder, { recursive: true });
  let state = 1;
  const random = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  const lines: string[] = [];
  for (let number = 0; number < count; number++) {
    const caption = captions[number % captions.length]!;
    const [, colour, shape] = caption.split(' ') as [string, keyof typeof colours, keyof typeof shapes];
    const radius = 3 + 3 * random();
    const place = () => radius + (size - 2 * radius) * random();
    const [x, y] = [place(), place()];
    const data = new Float32Array(3 * size * size);
    for (let pixel = 0; pixel < size * size; pixel++) {
      // Sixteen points of each pixel: edges are smooth.
      const points = Array.from({ length: 16 }, (_, point) =>
        shapes[shape](
          ((pixel % size) + (point % 4) / 4 + 1 / 8 - x) / radius,
          (Math.floor(pixel / size) + Math.floor(point / 4) / 4 + 1 / 8 - y) / radius,
        ),
      );
      const inside = points.filter(Boolean).length / 16;
      for (const [part, value] of colours[colour].entries()) data[part * size * size + pixel] = value * inside;
    }
    const image = Tensor.from(data, [1, 3, size, size]);
    writeFileSync(join(folder, `${number}.png`), await encodeGrid(image, 1, {}, 0));
    image.dispose();
    lines.push(JSON.stringify({ file: `${number}.png`, caption }));
  }
  writeFileSync(join(folder, 'labels.jsonl'), `${lines.join('\n')}\n`);
}

/** How large the shapes are that a model draws, and how many of them have the colour that was asked for. */
export async function look(model: Model, count: number): Promise<{ size: number; colour: number }> {
  const prompts = Array.from({ length: count }, (_, number) => captions[number % captions.length]!);
  const images = await sampleImages(model, { prompts, seed: 7n });
  const data = (await images.data()) as Float32Array;
  images.dispose();
  const found = { size: 0, colour: 0 };
  for (const [number, prompt] of prompts.entries()) {
    const sums = Object.keys(colours).map((_, part) => {
      const plane = data.subarray((3 * number + part) * size * size, (3 * number + part + 1) * size * size);
      return plane.reduce((sum, value) => sum + value, 0);
    });
    const brightest = Object.keys(colours)[sums.indexOf(Math.max(...sums))]!;
    found.size += Math.max(...sums) / count;
    found.colour += Number(prompt.includes(brightest)) / count;
  }
  return found;
}
