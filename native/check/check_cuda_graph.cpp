// Checks on a GPU that the kernels can be captured in a CUDA graph: they neither wait nor allocate, and what the graph does
// when it is launched, on other numbers than those it was captured with, is what plain launches do. Exits with 1 where it
// is not.
#include <cstdio>

#ifdef EAM_WITH_CUDA

#include <cuda_runtime_api.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/affine.h"

namespace {

using namespace eam::kernels;

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

template <class Value>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count) { check(cudaMalloc(reinterpret_cast<void**>(&data_), bytes()), "cudaMalloc"); }
  explicit DeviceArray(const std::vector<Value>& values) : DeviceArray(values.size()) { write(values); }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  Value* get() const { return data_; }
  void write(const std::vector<Value>& values) {
    check(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  std::vector<Value> read() const {
    std::vector<Value> values(count_);
    check(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return values;
  }

 private:
  size_t bytes() const { return count_ * sizeof(Value); }

  size_t count_;
  Value* data_ = nullptr;
};

constexpr int64_t kSamples = 3, kElements = 40961;

std::vector<float> ramp(float step) {
  std::vector<float> values(kSamples * kElements);
  for (size_t i = 0; i < values.size(); ++i) values[i] = step * static_cast<float>(i % 1000) - 1;
  return values;
}

struct Results {
  std::vector<float> position, grad;
  std::vector<double> sums;
};

bool same_bits(const Results& a, const Results& b) {
  const auto same = [](const auto& x, const auto& y) { return !std::memcmp(x.data(), y.data(), x.size() * sizeof(x[0])); };
  return same(a.position, b.position) && same(a.grad, b.grad) && same(a.sums, b.sums);
}

// Renoising and matching, as in a step.
class Step {
 public:
  Step() {
    renoise_.samples = kSamples;
    renoise_.elements = kElements;
    renoise_.terms = 1;
    renoise_.data[0] = endpoint_.get();
    renoise_.coefficients = coefficients_.get();
    renoise_.noise_coefficients = coefficients_.get();
    renoise_.seed = 7;
    renoise_.streams = streams_.get();
    renoise_.stream_per_sample = true;
    matching_.target = renoise_;
    matching_.target.terms = 2;
    matching_.target.data[1] = position_.get();
    matching_.target.noise_coefficients = nullptr;
    matching_.velocity = velocity_.get();
    matching_.grad_scale = coefficients_.get();
    matching_.grad = grad_.get();
  }

  void set(float step) {
    endpoint_.write(ramp(step));
    velocity_.write(ramp(2 * step));
    position_.write(ramp(0));
    grad_.write(ramp(0));
  }

  void launch(cudaStream_t stream) {
    check(cuda::affine(renoise_, position_.get(), DType::float32, stream), "affine");
    check(cuda::affine_regression(matching_, scratch_.get(), sums_.get(), stream), "affine_regression");
  }

  Results results() const { return {position_.read(), grad_.read(), sums_.read()}; }

 private:
  DeviceArray<float> endpoint_{kSamples * kElements}, velocity_{kSamples * kElements}, position_{kSamples * kElements},
      grad_{kSamples * kElements};
  DeviceArray<double> coefficients_{std::vector<double>{0.1, 0.2, 0.3, 0.4, 0.5, 0.6}}, sums_{kSamples};
  DeviceArray<uint64_t> streams_{std::vector<uint64_t>{1, 2, 3}};
  Combination renoise_;
  Regression matching_;
  DeviceArray<double> scratch_{static_cast<size_t>(cuda::affine_regression_scratch({.samples = kSamples, .elements = kElements}))};
};

bool run() {
  Step step;
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  check(cudaStreamCreate(&stream), "cudaStreamCreate");
  step.set(0.001f);
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  step.launch(stream);
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  bool passed = true;
  for (float size : {0.001f, 0.003f}) {
    step.set(size);
    step.launch(stream);
    check(cudaStreamSynchronize(stream), "plain launches");
    const Results plain = step.results();
    step.set(size);
    check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
    check(cudaStreamSynchronize(stream), "the graph");
    passed = passed && same_bits(step.results(), plain);
  }
  check(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
  check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  check(cudaStreamDestroy(stream), "cudaStreamDestroy");
  return passed;
}

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("CUDA graph: skipped, no device here");
    return 0;
  }
  try {
    const bool passed = run();
    std::puts(passed ? "CUDA graph: the bits of plain launches" : "CUDA graph: MISMATCH");
    return passed ? 0 : 1;
  } catch (const std::exception& error) {
    std::printf("CUDA graph: failed: %s\n", error.what());
    return 1;
  }
}

#else

int main() { std::puts("CUDA graph: skipped, this is the cpu variant"); }

#endif
