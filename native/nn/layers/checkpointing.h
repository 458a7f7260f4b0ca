#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace eam::nn {

// A part of a network, as a function of its activations.
using Segment = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs)>;

// segment(inputs), of which autograd keeps the inputs and nothing in between: in the backward pass the segment runs a
// second time (activation checkpointing, arXiv 1604.06174). `parameters` are the other tensors that the segment reads
// and that take gradients; one that is left out gets none. The segment must compute the same each time, and what it
// refers to must outlive the graph. Gradients are those of the segment itself, but that what several segments add to
// one tensor's is added up in another order; they cannot be differentiated again.
std::vector<at::Tensor> checkpoint(const Segment& segment, const std::vector<at::Tensor>& inputs,
                                   const std::vector<at::Tensor>& parameters);

// Whether a segment is running whose second run, which records gradients, must compute the same.
bool in_checkpoint();

}  // namespace eam::nn
