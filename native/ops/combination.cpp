#include "ops/combination.h"

#include <ATen/ATen.h>

#include <bit>

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
    throw Error(ErrorKind::shape, name + ": found " + std::to_string(values.size()) + " coefficients, expected 1 or " +
                                      std::to_string(samples) + ", one a sample");
  for (double value : values) check_finite(value, name + " coefficient");
  for (int64_t b = 0; b < samples; ++b)
    table.push_back(std::bit_cast<uint64_t>(values[values.size() == 1 ? 0 : static_cast<size_t>(b)]));
}

}  // namespace

void check_streams(const PhiloxNoise& noise, int64_t samples, const std::string& name) {
  if (noise.streams.size() != 1 && static_cast<int64_t>(noise.streams.size()) != samples)
    throw Error(ErrorKind::shape, name + ": found " + std::to_string(noise.streams.size()) +
                                      " streams, expected 1 or " + std::to_string(samples) + ", one a sample");
}

PreparedCombination::PreparedCombination(const at::Tensor& reference, const std::string& reference_name,
                                         const std::vector<NamedTerm>& terms, const Noise* noise,
                                         const std::vector<double>& noise_coefficients,
                                         const std::vector<std::vector<double>>& extra) {
  check_floating(reference, reference_name);
  std::vector<NamedTerm> all = terms;
  bool philox = noise && !noise->tensor;
  if (noise && noise->tensor) all.push_back({"noise", {*noise->tensor, noise_coefficients}});
  if (all.size() > static_cast<size_t>(kernels::kMaxTerms))
    throw Error(ErrorKind::shape, "terms: found " + std::to_string(all.size()) + ", expected at most " +
                                      std::to_string(kernels::kMaxTerms));

  arguments_.samples = reference.size(0);
  arguments_.elements = reference.numel() / reference.size(0);
  arguments_.terms = static_cast<int>(all.size());

  int64_t samples = arguments_.samples;
  std::vector<uint64_t> table;
  for (size_t k = 0; k < all.size(); ++k) {
    const auto& [name, term] = all[k];
    check_like(term.tensor, name, reference, reference_name);
    tensors_.push_back(term.tensor.detach().contiguous());
    names_.push_back(name);
    arguments_.data[k] = tensors_.back().const_data_ptr();
    arguments_.dtype[k] = kernel_dtype(term.tensor.scalar_type(), name);
    append_row(table, term.coefficients, samples, name);
  }
  if (philox) append_row(table, noise_coefficients, samples, "noise");
  for (const std::vector<double>& row : extra) append_row(table, row, samples, "weights");
  if (philox) {
    check_streams(noise->philox, samples, "noise");
    table.insert(table.end(), noise->philox.streams.begin(), noise->philox.streams.end());
  }

  table_ = device_table(table.data(), table.size() * sizeof(uint64_t), reference.device());
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

at::Tensor affine_named(const std::vector<NamedTerm>& terms, const Noise* noise,
                        const std::vector<double>& noise_coefficients, const at::Tensor& out) {
  if (terms.empty()) throw Error(ErrorKind::shape, "terms: found none, expected at least one");
  const at::Tensor& first = terms.front().term.tensor;
  PreparedCombination combination(first, terms.front().name, terms, noise, noise_coefficients);
  return evaluate(combination, first.sizes(), first.scalar_type(), first.device(), out);
}

}  // namespace eam::ops
