#pragma once

#include <napi.h>

#include <string>

#include "ops/options.h"

// JavaScript objects to described structs of options. JavaScript thread only.
namespace eam::addon {

// The members of a table's struct out of an object whose keys were checked; what is given is left to the caller.
void read_members(const OptionTable& table, void* options, Napi::Object object, const std::string& where);

// Error(config) for a value that is no object, an unknown key, and a value of another type or outside its range:
// "Eam: C: expected a number above 0.5, got 0.4".
void read_options(const OptionTable& table, void* options, Napi::Value value, const std::string& where);

template <class Options>
Options to_options(Napi::Value value, const std::string& where) {
  Options options;
  read_options(Options::table(), &options, value, where);
  return options;
}

}  // namespace eam::addon
