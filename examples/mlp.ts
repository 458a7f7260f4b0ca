// A small velocity network v(x, t) in plain TypeScript, with the chain rule written out. Its buffers never move, so
// that tensors over them (Tensor.from shares their memory) are made once.

const features = 8; // x, y, t, 1 − t, and two frequencies of t

export class Mlp {
  readonly velocity: Float32Array; // [batch, 2], what forward() writes
  readonly velocityGradient: Float32Array; // [batch, 2], what backward() reads
  readonly parameters: Float32Array;
  private readonly batch: number;
  private readonly gradients: Float32Array;
  private readonly layers: Layer[] = [];
  private readonly moments: [Float32Array, Float32Array];
  private steps = 0;

  constructor(batch: number, width: number, random: () => number) {
    this.batch = batch;
    const sizes = [features, width, width, 2];
    const count = sizes.slice(1).reduce((sum, outputs, k) => sum + (sizes[k]! + 1) * outputs, 0);
    this.parameters = new Float32Array(count);
    this.gradients = new Float32Array(count);
    this.moments = [new Float32Array(count), new Float32Array(count)];
    let begin = 0;
    let input = array(batch * features);
    for (let k = 0; k + 1 < sizes.length; ++k) {
      const [inputs, outputs] = [sizes[k]!, sizes[k + 1]!];
      const take = (values: Float32Array, size: number, from: number) => values.subarray(from, from + size);
      const layer: Layer = {
        inputs,
        outputs,
        input,
        weight: take(this.parameters, inputs * outputs, begin),
        bias: take(this.parameters, outputs, begin + inputs * outputs),
        weightGradient: take(this.gradients, inputs * outputs, begin),
        biasGradient: take(this.gradients, outputs, begin + inputs * outputs),
        output: array(batch * outputs),
        outputGradient: array(batch * outputs),
      };
      const scale = k + 2 < sizes.length ? 2 / Math.sqrt(inputs) : 0; // the last layer begins at zero
      for (let i = 0; i < layer.weight.length; ++i) layer.weight[i] = scale * (random() * 2 - 1);
      begin += (inputs + 1) * outputs;
      this.layers.push(layer);
      input = array(batch * outputs); // the next layer's: this one's output, activated
    }
    this.velocity = this.layers.at(-1)!.output;
    this.velocityGradient = this.layers.at(-1)!.outputGradient;
  }

  /** v(x, t) into `velocity`: x [batch, 2], t [batch]. */
  forward(x: Float32Array, t: Float32Array): void {
    const input = this.layers[0]!.input;
    for (let b = 0; b < this.batch; ++b) {
      const time = t[b]!;
      input.set(
        [
          x[2 * b]!,
          x[2 * b + 1]!,
          time,
          1 - time,
          Math.sin(Math.PI * time),
          Math.cos(Math.PI * time),
          Math.sin(2 * Math.PI * time),
          Math.cos(2 * Math.PI * time),
        ],
        b * features,
      );
    }
    for (const [k, { inputs, outputs, input, weight, bias, output }] of this.layers.entries()) {
      for (let b = 0; b < this.batch; ++b) {
        const row = output.subarray(b * outputs, (b + 1) * outputs);
        row.set(bias);
        for (let i = 0; i < inputs; ++i) {
          const value = input[b * inputs + i]!;
          for (let o = 0, w = i * outputs; o < outputs; ++o, ++w) row[o]! += value * weight[w]!;
        }
      }
      const next = this.layers[k + 1]?.input;
      if (next) for (let i = 0; i < output.length; ++i) next[i] = output[i]! / (1 + Math.exp(-output[i]!)); // SiLU
    }
  }

  /** ∂loss/∂parameters from `velocityGradient` = ∂loss/∂velocity, then one step of Adam. */
  backward(learningRate: number): void {
    this.gradients.fill(0);
    for (let k = this.layers.length - 1; k >= 0; --k) {
      const { inputs, outputs, input, weight, weightGradient, biasGradient, outputGradient } = this.layers[k]!;
      const below = this.layers[k - 1];
      for (let b = 0; b < this.batch; ++b) {
        const row = outputGradient.subarray(b * outputs, (b + 1) * outputs);
        for (let o = 0; o < outputs; ++o) biasGradient[o]! += row[o]!;
        for (let i = 0; i < inputs; ++i) {
          const value = input[b * inputs + i]!;
          let sum = 0;
          for (let o = 0, w = i * outputs; o < outputs; ++o, ++w) {
            weightGradient[w]! += value * row[o]!;
            sum += weight[w]! * row[o]!;
          }
          if (!below) continue;
          const z = below.output[b * inputs + i]!;
          const sigmoid = 1 / (1 + Math.exp(-z));
          below.outputGradient[b * inputs + i] = sum * sigmoid * (1 + z * (1 - sigmoid));
        }
      }
    }
    this.adam(learningRate);
  }

  private adam(learningRate: number, [beta1, beta2] = [0.9, 0.99]): void {
    const [mean, square] = this.moments;
    ++this.steps;
    const rate = (learningRate * Math.sqrt(1 - beta2! ** this.steps)) / (1 - beta1! ** this.steps);
    for (let i = 0; i < this.parameters.length; ++i) {
      const gradient = this.gradients[i]!;
      mean[i] = beta1! * mean[i]! + (1 - beta1!) * gradient;
      square[i] = beta2! * square[i]! + (1 - beta2!) * gradient ** 2;
      this.parameters[i]! -= (rate * mean[i]!) / (Math.sqrt(square[i]!) + 1e-8);
    }
  }
}

interface Layer {
  inputs: number;
  outputs: number;
  input: Float32Array; // [batch, inputs]
  weight: Float32Array; // [inputs, outputs]
  bias: Float32Array;
  weightGradient: Float32Array;
  biasGradient: Float32Array;
  output: Float32Array; // [batch, outputs], before the activation
  outputGradient: Float32Array;
}

const array = (length: number) => new Float32Array(length);
