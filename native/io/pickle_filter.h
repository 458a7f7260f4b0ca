#pragma once

#include <string>
#include <string_view>

namespace eam::io {

// A pickle of nested dictionaries of tensors, in the form that LibTorch's unpickler reads. That one builds no
// OrderedDict, which is what a module's state_dict() is, and believes what it reads: so every opcode is followed here
// first, with what it finds on the stack. Nothing is built but the text that comes back, which names no function of
// Python but those that rebuild tensors. std::runtime_error says what else the pickle holds, or where it is malformed.
std::string plain_pickle(std::string_view pickle);

}  // namespace eam::io
