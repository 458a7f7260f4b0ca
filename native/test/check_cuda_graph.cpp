// Checks on a GPU that the kernels can be captured in a CUDA graph: they neither wait nor allocate, and what the graph
// does when it is launched, on other numbers than those it was captured with, is what plain launches do. Exits with 1
// where it is not.
#include <cstdio>

#ifdef EAM_WITH_CUDA

#include <string>
#include <vector>

#include "kernels/affine.h"
#include "kernels/optimizer.h"
#include "test/device_array.h"

namespace {

using namespace eam::check;
using namespace eam::kernels;

using Bytes = std::vector<unsigned char>;

template <class Value>
void append(const DeviceArray<Value>& array, Bytes& bytes) {
  const size_t before = bytes.size();
  bytes.resize(before + array.bytes());
  array.read(bytes.data() + before);
}

std::vector<float> ramp(int64_t count, float step) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = step * static_cast<float>(i % 1000) - 1;
  return values;
}

// Renoising and matching, as in a step.
class Step {
 public:
  static constexpr const char* kName = "renoising and matching";

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
    endpoint_.write(ramp(kCount, step));
    velocity_.write(ramp(kCount, 2 * step));
    position_.write(ramp(kCount, 0));
    grad_.write(ramp(kCount, 0));
  }

  void launch(cudaStream_t stream) {
    check(cuda::affine(renoise_, position_.get(), DType::float32, stream), "affine");
    check(cuda::affine_regression(matching_, scratch_.get(), sums_.get(), stream), "affine_regression");
  }

  Bytes results() const {
    Bytes bytes;
    append(position_, bytes);
    append(grad_, bytes);
    append(sums_, bytes);
    return bytes;
  }

 private:
  static constexpr int64_t kSamples = 3, kElements = 40961, kCount = kSamples * kElements;

  DeviceArray<float> endpoint_{kCount}, velocity_{kCount}, position_{kCount}, grad_{kCount};
  DeviceArray<double> coefficients_{std::vector<double>{0.1, 0.2, 0.3, 0.4, 0.5, 0.6}}, sums_{kSamples};
  DeviceArray<uint64_t> streams_{std::vector<uint64_t>{1, 2, 3}};
  Combination renoise_;
  Regression matching_;
  DeviceArray<double> scratch_{
      static_cast<size_t>(cuda::affine_regression_scratch({.samples = kSamples, .elements = kElements}))};
};

// The gradient's norm, AdamW and the moving average, as after a backward pass.
class Update {
 public:
  static constexpr const char* kName = "norm, AdamW and average";

  Update() {
    std::vector<cuda::Piece> updates, averages, gradients;
    for (int64_t begin = 0; begin < kCount; begin += cuda::kPiece) {
      const int64_t count = kCount - begin < cuda::kPiece ? kCount - begin : cuda::kPiece;
      updates.push_back(
          {parameter_.get() + begin, gradient_.get() + begin, first_.get() + begin, second_.get() + begin, count});
      averages.push_back({average_.get() + begin, parameter_.get() + begin, nullptr, nullptr, count});
      gradients.push_back({gradient_.get() + begin, nullptr, nullptr, nullptr, count});
    }
    updates_.write(updates);
    averages_.write(averages);
    gradients_.write(gradients);
  }

  void set(float step) {
    parameter_.write(ramp(kCount, step));
    gradient_.write(ramp(kCount, 2 * step));
    first_.write(ramp(kCount, 3 * step));
    second_.write(std::vector<float>(static_cast<size_t>(kCount), step));
    average_.write(ramp(kCount, -step));
  }

  void launch(cudaStream_t stream) {
    check(cuda::sum_squares(gradients_.get(), kPieces, scratch_.get(), sum_.get(), stream), "sum_squares");
    check(cuda::adamw({0.5f, 0.9f, 0.1f, 0.99f, 0.01f, 0.999f, 0.01f, 1.5f, 1e-8f}, updates_.get(), kPieces, stream),
          "adamw");
    check(cuda::ema(0.9f, averages_.get(), kPieces, stream), "ema");
  }

  Bytes results() const {
    Bytes bytes;
    for (const auto* array : {&parameter_, &first_, &second_, &average_}) append(*array, bytes);
    append(sum_, bytes);
    return bytes;
  }

 private:
  static constexpr int64_t kCount = 3 * cuda::kPiece + 5, kPieces = 4;

  DeviceArray<float> parameter_{kCount}, gradient_{kCount}, first_{kCount}, second_{kCount}, average_{kCount};
  DeviceArray<double> scratch_{kPieces}, sum_{1};
  DeviceArray<cuda::Piece> updates_{kPieces}, averages_{kPieces}, gradients_{kPieces};
};

template <class Work>
bool run() {
  Work work;
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  check(cudaStreamCreate(&stream), "cudaStreamCreate");
  work.set(0.001f);
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  work.launch(stream);
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  bool passed = true;
  for (float size : {0.001f, 0.003f}) {
    work.set(size);
    const Bytes before = work.results();
    work.launch(stream);
    check(cudaStreamSynchronize(stream), "plain launches");
    const Bytes plain = work.results();
    work.set(size);
    check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
    check(cudaStreamSynchronize(stream), "the graph");
    passed = passed && plain != before && work.results() == plain;
  }
  check(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
  check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  check(cudaStreamDestroy(stream), "cudaStreamDestroy");
  std::printf("CUDA graph, %s: %s\n", Work::kName, passed ? "the bits of plain launches" : "MISMATCH");
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
    const bool step = run<Step>(), update = run<Update>();
    return step && update ? 0 : 1;
  } catch (const std::exception& error) {
    std::printf("CUDA graph: failed: %s\n", error.what());
    return 1;
  }
}

#else

int main() {
  std::puts("CUDA graph: skipped, this is the cpu variant");
}

#endif
