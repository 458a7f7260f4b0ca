#pragma once

#include <cstdint>

// Writing past the caches. A line written through them is read from memory first, which a result that they cannot hold
// pays for nothing.
namespace eam::kernels {

// The size of the cache that is farthest from the processor.
int64_t cache_bytes();

// Copies past the caches, fastest to multiples of 64 bytes. Other threads may see it only after finish_streams().
void stream(const void* from, void* to, int64_t bytes);
void finish_streams();

}  // namespace eam::kernels
