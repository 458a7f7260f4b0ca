// One iteration of EAM, with the time in the network, the reward, the kernels and the optimizer apart; prints one JSON
// object a line: first the sizes, then each iteration, last the peak memory. benchmarks/pytorch_baseline.py prints the
// same for the same iteration in plain PyTorch.
//   bench_iteration digits|transformer|tiny THREADS ITERATIONS BATCH MICRO_BATCH [EXPORT.safetensors]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <sys/resource.h>
#include <torch/csrc/autograd/engine.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "algorithms/eam.h"
#include "algorithms/optimizer.h"
#include "bench/bench.h"
#include "io/tensor_file.h"
#include "nn/digits/digits_model.h"

namespace {

using namespace eam;
using bench::now;

// Seconds of one iteration.
struct Times {
  double total = 0, forward = 0, backward = 0, reward = 0, kernels = 0, optimizer = 0;
};
Times times;

// The network with a clock around it. A backward pass is timed from the moment the velocity's gradient arrives to the
// engine's last callback.
class Timed final : public FlowModel {
 public:
  explicit Timed(FlowModel& model) : model_(model) {}

  at::Tensor velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override {
    return timed([&] { return model_.velocity(x, t, conditioning); });
  }
  at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override {
    return timed([&] { return model_.pretrained_velocity(x, t, conditioning); });
  }
  at::Tensor images(const at::Tensor& latents) override { return model_.images(latents); }
  NamedTensors trainable() override { return model_.trainable(); }
  NamedTensors weights() override { return model_.weights(); }
  bool pretrained_is_frozen() const override { return model_.pretrained_is_frozen(); }

 private:
  template <class Evaluate>
  at::Tensor timed(const Evaluate& evaluate) {
    const double begin = now();
    at::Tensor velocity = evaluate();
    times.forward += now() - begin;
    if (velocity.requires_grad()) {
      velocity.register_hook([](const at::Tensor&) {
        const double start = now();
        torch::autograd::Engine::get_default_engine().queue_callback([start] { times.backward += now() - start; });
      });
    }
    return velocity;
  }

  FlowModel& model_;
};

// Our CPU kernels announce themselves to LibTorch's profiler.
struct KernelStart final : at::ObserverContext {
  double time = now();
};
void time_kernels() {
  at::addGlobalCallback(at::RecordFunctionCallback(
                            [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
                              if (std::string_view(function.name()) != "eam::kernel") return nullptr;
                              return std::make_unique<KernelStart>();
                            },
                            [](const at::RecordFunction&, at::ObserverContext* context) {
                              if (context) times.kernels += now() - static_cast<KernelStart*>(context)->time;
                            })
                            .scopes({at::RecordScope::USER_SCOPE}));
}

struct Problem {
  nn::DigitsModelConfig config;
  int64_t rank;
};

Problem problem_of(const std::string& name) {
  if (name == "digits") return {{}, 8};
  if (name == "tiny") return {{8, 1, 4, 16, 2, 2, 2, 3}, 2};
  if (name == "transformer") return {{32, 3, 4, 768, 12, 12, 4, 1000}, 16};
  throw std::runtime_error("no such model: " + name);
}

NamedTensors all_tensors(FlowModel& model) {
  NamedTensors all = model.weights();
  for (auto& entry : model.trainable()) all.push_back(entry);
  return all;
}

// adaLN-Zero and LoRA start as zero, where many layers would have nothing to do.
void fill_zeros(FlowModel& model) {
  at::NoGradGuard guard;
  for (const auto& [name, tensor] : all_tensors(model))
    if (!tensor.any().item<bool>()) at::Tensor(tensor).normal_(0, 0.02);
}

// The tensors, and a velocity to compare with, for the baseline.
void export_tensors(FlowModel& model, const at::Tensor& x, const Conditioning& conditioning, const std::string& path) {
  at::NoGradGuard guard;
  const at::Tensor t = at::linspace(0.1, 0.9, x.size(0), at::kFloat);
  NamedTensors all = all_tensors(model);
  all.push_back({"check.x", x});
  all.push_back({"check.t", t});
  all.push_back({"check.labels", conditioning[0]});
  all.push_back({"check.velocity", model.velocity(x, t, conditioning)});
  std::ostringstream text;
  std::vector<at::Tensor> tensors;
  size_t offset = 0;
  for (const auto& [name, tensor] : all) {
    text << (offset ? ',' : '{') << '"' << name << "\":{\"dtype\":\""
         << (tensor.scalar_type() == at::kLong ? "I64" : "F32") << "\",\"shape\":[";
    for (int64_t i = 0; i < tensor.dim(); ++i) text << (i ? "," : "") << tensor.size(i);
    text << "],\"data_offsets\":[" << offset << ',' << offset + tensor.nbytes() << "]}";
    offset += tensor.nbytes();
    tensors.push_back(tensor.detach().contiguous());
  }
  std::string header = text.str() + "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::vector<uint8_t> bytes(8);
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(static_cast<uint64_t>(header.size()) >> (8 * i));
  bytes.insert(bytes.end(), header.begin(), header.end());
  io::write_tensors(path, bytes, tensors);
}

int64_t count(const NamedTensors& tensors) {
  int64_t total = 0;
  for (const auto& [name, tensor] : tensors) total += tensor.numel();
  return total;
}

// Bytes. The peak is the process's so far.
double peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

void run(const std::string& name, int iterations, int64_t batch, int micro_batch, const char* path) {
  const Problem problem = problem_of(name);
  nn::DigitsModel network(
      problem.config, 1,
      nn::LoraConfig{
          problem.rank, 2.0 * static_cast<double>(problem.rank), {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"}, 2},
      at::kFloat, at::kCPU);
  fill_zeros(network);
  const int64_t size = problem.config.image_size;
  const std::vector<int64_t> shape = {batch, problem.config.channels, size, size};
  const Conditioning conditioning = {at::arange(batch) % problem.config.classes};
  if (path) export_tensors(network, at::randn(shape), conditioning, path);

  std::printf("{\"parameters\":%lld,\"trainable\":%lld,\"elements\":%lld}\n",
              static_cast<long long>(count(network.weights())), static_cast<long long>(count(network.trainable())),
              static_cast<long long>(c10::multiply_integers(shape)));
  Timed model(network);
  EamOptions options;
  options.steps = 4;
  options.renoisings = 2;
  options.micro_batch = micro_batch;
  Eam algorithm(model, options);
  OptimizerOptions optimizer_options;
  optimizer_options.ema_decay = 0.99;
  Optimizer optimizer(network.trainable(), optimizer_options);
  time_kernels();
  const Cancellation cancellation;
  for (int i = -1; i < iterations; ++i) {  // the first one warms up
    times = {};
    const double begin = now();
    const auto rollout =
        algorithm.rollout(conditioning, std::nullopt, shape, 7, static_cast<uint64_t>(i) + 1, true, cancellation);
    // r = −½ ‖image − ½‖²
    const at::Tensor images = rollout->decode(0, batch, true, cancellation);
    const double scored = now();
    const at::Tensor reward_grad = 0.5 - images;
    const at::Tensor values = -0.5 * reward_grad.flatten(1).square().sum(1);
    const std::vector<float> rewards(values.const_data_ptr<float>(), values.const_data_ptr<float>() + batch);
    times.reward = now() - scored;
    algorithm.accumulate(*rollout, rewards, reward_grad, cancellation);
    const double stepped = now(), before = times.kernels;
    optimizer.step(1e-4, 1.0);
    times.optimizer = now() - stepped;
    times.kernels = before;  // the optimizer's are counted as the optimizer's
    times.total = now() - begin;
    if (i >= 0)
      std::printf(
          "{\"total\":%.9f,\"forward\":%.9f,\"backward\":%.9f,\"reward\":%.9f,\"kernels\":%.9f,\"optimizer\":%.9f}\n",
          times.total, times.forward, times.backward, times.reward, times.kernels, times.optimizer);
  }
  std::printf("{\"peakBytes\":%.0f}\n", peak_memory());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fputs("usage: bench_iteration MODEL THREADS ITERATIONS BATCH MICRO_BATCH [EXPORT.safetensors]\n", stderr);
    return 2;
  }
  try {
    at::set_num_threads(std::atoi(argv[2]));
    run(argv[1], std::atoi(argv[3]), std::atoll(argv[4]), std::atoi(argv[5]), argc > 6 ? argv[6] : nullptr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "failed: %s\n", error.what());
    return 1;
  }
  return 0;
}
