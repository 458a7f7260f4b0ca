export * from './native/tensor.js';
