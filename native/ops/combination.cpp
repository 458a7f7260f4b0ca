#include "ops/combination.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstring>

#include "ops/checks.h"
#include "ops/cuda_launch.h"
#include "ops/device_table.h"
#include "ops/error.h"
#include "ops/parallel.h"

namespace eam::ops {

namespace {

void append_row(std::vector<uint64_t>& table, const std::vector<double>& values, int64_t samples,
                const std::string& name) {
  if (values.size() != 1 && static_cast<int64_t>(values.size()) != samples)
    throw bad_shape(name, words("1 coefficient or ", samples, ", one a sample"), values.size());
  for (double value : values) check_finite(value, name + " coefficient");
  for (int64_t b = 0; b < samples; ++b) {
    // The number's bits; std::bit_cast came with g++ 11.
    uint64_t bits;
    std::memcpy(&bits, &values[values.size() == 1 ? 0 : static_cast<size_t>(b)], sizeof bits);
    table.push_back(bits);
  }
}

}  // namespace

void check_streams(const PhiloxNoise& noise, int64_t samples, const std::string& name) {
  if (noise.streams.size() != 1 && static_cast<int64_t>(noise.streams.size()) != samples)
    throw bad_shape(name, words("1 stream or ", samples, ", one a sample"), noise.streams.size());
}

PreparedCombination::PreparedCombination(const Floating& reference, const std::vector<CheckedTerm>& terms,
                                         const Noise* noise, const std::vector<double>& noise_coefficients,
                                         const std::vector<std::vector<double>>& extra) {
  std::vector<CheckedTerm> all = terms;
  bool philox = noise && !noise->tensor;
  if (noise && noise->tensor) all.push_back({{*noise->tensor, "noise"}, noise_coefficients});
  if (all.size() > static_cast<size_t>(kernels::kMaxTerms))
    throw bad_shape("terms", words("at most ", kernels::kMaxTerms), all.size());

  arguments_.samples = reference.samples();
  arguments_.elements = reference.elements();
  arguments_.terms = static_cast<int>(all.size());

  int64_t samples = arguments_.samples;
  std::vector<uint64_t> table;
  for (size_t k = 0; k < all.size(); ++k) {
    const auto& [term, coefficients] = all[k];
    check_like(term, reference.tensor(), reference.name());
    tensors_.push_back(term->detach().contiguous());
    names_.push_back(term.name());
    arguments_.data[k] = tensors_.back().const_data_ptr();
    arguments_.dtype[k] = term.dtype();
    append_row(table, coefficients, samples, term.name());
  }
  if (philox) append_row(table, noise_coefficients, samples, "noise");
  for (const std::vector<double>& row : extra) append_row(table, row, samples, "weights");
  if (philox) {
    check_streams(noise->philox, samples, "noise");
    table.insert(table.end(), noise->philox.streams.begin(), noise->philox.streams.end());
  }

  table_ = device_table(table.data(), table.size() * sizeof(uint64_t), reference->device());
  const double* row = static_cast<const double*>(table_.const_data_ptr());
  arguments_.coefficients = row;
  row += samples * arguments_.terms;
  if (philox) {
    arguments_.noise_coefficients = row;
    row += samples;
  }
  extra_ = row;
  row += samples * static_cast<int64_t>(extra.size());
  if (philox) {
    arguments_.seed = noise->philox.seed;
    arguments_.streams = reinterpret_cast<const uint64_t*>(row);
    arguments_.stream_per_sample = noise->philox.streams.size() > 1;
  }
}

void PreparedCombination::check_overlap(const at::Tensor& out, const std::string& name) const {
  for (size_t k = 0; k < tensors_.size(); ++k) ops::check_overlap(out, name, tensors_[k], names_[k]);
}

at::Tensor evaluate(const PreparedCombination& combination, at::IntArrayRef shape, at::ScalarType dtype,
                    at::Device device, const at::Tensor& given) {
  check_output(given, "out", shape, dtype, device);
  combination.check_overlap(given, "out");
  at::Tensor out = given.defined() ? given : at::empty(shape, at::TensorOptions().dtype(dtype).device(device));
  const kernels::Combination& arguments = combination.arguments();
  kernels::DType out_dtype = kernel_dtype(dtype, "dtype");
  void* data = out.mutable_data_ptr();
#ifdef EAM_WITH_CUDA
  if (device.is_cuda()) {
    launch_on(out.device(), "affine",
              [&](cudaStream_t stream) { return kernels::cuda::affine(arguments, data, out_dtype, stream); });
    return out;
  }
#endif
  for_each_chunk(arguments.samples, arguments.elements, [&](int64_t sample, int64_t begin, int64_t end, int64_t) {
    kernels::affine(arguments, data, out_dtype, sample, begin, end);
  });
  return out;
}

at::Tensor affine_checked(const std::vector<CheckedTerm>& terms, const Noise* noise,
                          const std::vector<double>& noise_coefficients, const at::Tensor& out) {
  const Floating& first = terms.front().tensor;
  PreparedCombination combination(first, terms, noise, noise_coefficients);
  return evaluate(combination, first->sizes(), first->scalar_type(), first->device(), out);
}

}  // namespace eam::ops
