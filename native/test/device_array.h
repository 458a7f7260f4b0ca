#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

// Device memory for the programs that call the CUDA kernels without LibTorch.
namespace eam::check {

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

template <class Value>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count) {
    check(cudaMalloc(reinterpret_cast<void**>(&data_), bytes()), "cudaMalloc");
  }
  explicit DeviceArray(const std::vector<Value>& values) : DeviceArray(values.size()) { write(values); }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  Value* get() const { return data_; }
  size_t bytes() const { return count_ * sizeof(Value); }
  void write(const std::vector<Value>& values) {
    check(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  void read(void* values) const { check(cudaMemcpy(values, data_, bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy"); }

 private:
  size_t count_;
  Value* data_ = nullptr;
};

}  // namespace eam::check
