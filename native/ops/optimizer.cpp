#include "kernels/optimizer.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "ops/checks.h"
#include "ops/cuda_launch.h"
#include "ops/device_table.h"
#include "ops/error.h"
#include "ops/ops.h"
#include "ops/parallel.h"

namespace eam::ops {

namespace {

// Tensors of the same sizes, updated together: lists[0] are the parameters.
struct TensorLists {
  std::vector<const std::vector<at::Tensor>*> lists;
  std::vector<const char*> names;
};

void check_lists(const TensorLists& all) {
  const std::vector<at::Tensor>& reference = *all.lists[0];
  for (size_t l = 0; l < all.lists.size(); ++l) {
    const std::vector<at::Tensor>& list = *all.lists[l];
    if (list.size() != reference.size())
      throw bad_shape(all.names[l], words(reference.size(), " tensors as ", all.names[0], " has"), list.size());
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string name = words(all.names[l], "[", i, "]");
      check_updatable(list[i], name);
      if (!list[i].sizes().equals(reference[i].sizes()))
        throw bad_shape(name, words("shape ", reference[i].sizes()), list[i].sizes());
      if (list[i].device() != reference[0].device())
        throw bad_shape(name, words("device ", in_quotes(reference[0].device().str())),
                        in_quotes(list[i].device().str()));
    }
  }
}

float* data_of(const at::Tensor& tensor) {
  return tensor.mutable_data_ptr<float>();
}

// body(tensor, begin, end, unit) for every chunk of every tensor, on LibTorch's threads.
template <class Body>
int64_t for_each_tensor_chunk(const std::vector<at::Tensor>& tensors, const Body& body) {
  struct Unit {
    size_t tensor;
    int64_t begin, end;
  };
  std::vector<Unit> units;
  for (size_t i = 0; i < tensors.size(); ++i)
    for (int64_t begin = 0; begin < tensors[i].numel(); begin += kChunk)
      units.push_back({i, begin, std::min(begin + kChunk, tensors[i].numel())});
  RECORD_FUNCTION_WITH_SCOPE(at::RecordScope::USER_SCOPE, "eam::optimizer", c10::ArrayRef<const c10::IValue>{});
  int64_t count = static_cast<int64_t>(units.size()), elements = 0;
  for (const at::Tensor& tensor : tensors) elements += tensor.numel();
  // Waking a thread costs more than a few small tensors do.
  constexpr int64_t kWorthAThread = 8 * kChunk;
  int64_t grain = std::max<int64_t>(1, count * kWorthAThread / std::max<int64_t>(elements, 1));
  parallel_for(0, count, grain, [&](int64_t first, int64_t last) {
    for (int64_t u = first; u < last; ++u) body(units[u].tensor, units[u].begin, units[u].end, u);
  });
  return count;
}

int64_t chunk_count(const std::vector<at::Tensor>& tensors) {
  int64_t count = 0;
  for (const at::Tensor& tensor : tensors) count += chunks_of(tensor.numel());
  return count;
}

#ifdef EAM_WITH_CUDA
bool on_cuda(const std::vector<at::Tensor>& tensors) {
  return !tensors.empty() && tensors[0].is_cuda();
}

struct DevicePieces {
  at::Tensor table;
  int64_t count;
  const kernels::cuda::Piece* data() const { return static_cast<const kernels::cuda::Piece*>(table.const_data_ptr()); }
};

DevicePieces device_pieces(const TensorLists& all) {
  auto pointer = [&](size_t list, size_t i) -> float* {
    return list < all.lists.size() ? data_of((*all.lists[list])[i]) : nullptr;
  };
  auto shifted = [](float* base, int64_t offset) { return base ? base + offset : nullptr; };
  std::vector<kernels::cuda::Piece> pieces;
  const std::vector<at::Tensor>& reference = *all.lists[0];
  for (size_t i = 0; i < reference.size(); ++i)
    for (int64_t begin = 0; begin < reference[i].numel(); begin += kernels::cuda::kPiece)
      pieces.push_back({shifted(pointer(0, i), begin), shifted(pointer(1, i), begin), shifted(pointer(2, i), begin),
                        shifted(pointer(3, i), begin), std::min(kernels::cuda::kPiece, reference[i].numel() - begin)});
  return {device_table(pieces.data(), pieces.size() * sizeof(pieces[0]), reference[0].device()),
          static_cast<int64_t>(pieces.size())};
}
#endif

}  // namespace

double global_norm(const std::vector<at::Tensor>& gradients) {
  TensorLists all{{&gradients}, {"gradients"}};
  check_lists(all);
  if (chunk_count(gradients) == 0) return 0;
#ifdef EAM_WITH_CUDA
  if (on_cuda(gradients)) {
    DevicePieces pieces = device_pieces(all);
    at::Tensor scratch = at::empty({pieces.count + 1}, gradients[0].options().dtype(at::kDouble));
    double* partial = scratch.mutable_data_ptr<double>();
    launch_on(gradients[0].device(), "sum_squares", [&](cudaStream_t stream) {
      return kernels::cuda::sum_squares(pieces.data(), pieces.count, partial, partial + pieces.count, stream);
    });
    return std::sqrt(scratch[pieces.count].item<double>());
  }
#endif
  std::vector<double> partial(static_cast<size_t>(chunk_count(gradients)));
  for_each_tensor_chunk(gradients, [&](size_t i, int64_t begin, int64_t end, int64_t unit) {
    partial[static_cast<size_t>(unit)] = kernels::sum_squares(data_of(gradients[i]) + begin, end - begin);
  });
  double sum = 0;
  for (double value : partial) sum += value;
  return std::sqrt(sum);
}

void adamw(const std::vector<at::Tensor>& parameters, const std::vector<at::Tensor>& gradients,
           const std::vector<at::Tensor>& first_moments, const std::vector<at::Tensor>& second_moments,
           const AdamW& options) {
  TensorLists all{{&parameters, &gradients, &first_moments, &second_moments},
                  {"parameters", "gradients", "first moments", "second moments"}};
  check_lists(all);
  if (options.step < 1) throw bad_value("step", "1 for the first update", options.step);
  for (auto [value, name] : {std::pair{options.beta1, "beta1"}, {options.beta2, "beta2"}})
    if (!(value >= 0 && value < 1)) throw bad_value(name, "a number in [0, 1)", value);
  for (auto [value, name] : {std::pair{options.learning_rate, "learningRate"},
                             {options.epsilon, "epsilon"},
                             {options.weight_decay, "weightDecay"},
                             {options.grad_scale, "gradScale"}})
    if (!(value >= 0) || !std::isfinite(value)) throw bad_value(name, "a finite number of at least 0", value);
  if (chunk_count(parameters) == 0) return;

  double correction1 = 1 - std::pow(options.beta1, static_cast<double>(options.step));
  double correction2 = 1 - std::pow(options.beta2, static_cast<double>(options.step));
  kernels::AdamWScalars scalars{static_cast<float>(options.grad_scale),
                                static_cast<float>(options.beta1),
                                static_cast<float>(1 - options.beta1),
                                static_cast<float>(options.beta2),
                                static_cast<float>(1 - options.beta2),
                                static_cast<float>(1 - options.learning_rate * options.weight_decay),
                                static_cast<float>(options.learning_rate / correction1),
                                static_cast<float>(1 / std::sqrt(correction2)),
                                static_cast<float>(options.epsilon)};
#ifdef EAM_WITH_CUDA
  if (on_cuda(parameters)) {
    DevicePieces pieces = device_pieces(all);
    launch_on(parameters[0].device(), "adamw",
              [&](cudaStream_t stream) { return kernels::cuda::adamw(scalars, pieces.data(), pieces.count, stream); });
    return;
  }
#endif
  for_each_tensor_chunk(parameters, [&](size_t i, int64_t begin, int64_t end, int64_t) {
    kernels::adamw(scalars, data_of(parameters[i]) + begin, data_of(gradients[i]) + begin,
                   data_of(first_moments[i]) + begin, data_of(second_moments[i]) + begin, end - begin);
  });
}

void ema(const std::vector<at::Tensor>& averages, const std::vector<at::Tensor>& parameters, double decay) {
  TensorLists all{{&averages, &parameters}, {"averages", "parameters"}};
  check_lists(all);
  if (!(decay >= 0 && decay <= 1)) throw bad_value("decay", "a number in [0, 1]", decay);
  if (chunk_count(averages) == 0) return;
#ifdef EAM_WITH_CUDA
  if (on_cuda(averages)) {
    DevicePieces pieces = device_pieces(all);
    launch_on(averages[0].device(), "ema", [&](cudaStream_t stream) {
      return kernels::cuda::ema(static_cast<float>(decay), pieces.data(), pieces.count, stream);
    });
    return;
  }
#endif
  for_each_tensor_chunk(averages, [&](size_t i, int64_t begin, int64_t end, int64_t) {
    kernels::ema(static_cast<float>(decay), data_of(averages[i]) + begin, data_of(parameters[i]) + begin, end - begin);
  });
}

}  // namespace eam::ops
