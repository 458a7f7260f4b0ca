#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "nn/layers/lora.h"
#include "nn/layers/lora_parts.h"
#include "ops/rows.h"

// What adapters and weights are carried by from one layout of names to another.
namespace eam::addon {
namespace {

using nn::LoraPair;

Napi::Array wrap_tensors(Napi::Env env, std::vector<at::Tensor> tensors) {
  Napi::Array array = Napi::Array::New(env, tensors.size());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    array.Set(i, tensors[i].defined() ? Napi::Value(wrap_tensor(env, std::move(tensors[i]))) : env.Null());
  }
  return array;
}

std::vector<LoraPair> to_pairs(Napi::Value As, Napi::Value Bs, const std::string& function) {
  const std::vector<at::Tensor> a = to_tensors(As, function + ": loraA"), b = to_tensors(Bs, function + ": loraB");
  if (a.size() != b.size()) throw bad_shape(function + ": loraB", words(a.size(), " of them"), b.size());
  std::vector<LoraPair> pairs;
  for (size_t i = 0; i < a.size(); ++i) pairs.push_back({a[i], b[i]});
  return pairs;
}

template <class Work>
Napi::Value tensors_of(const Napi::CallbackInfo& info, const char* function, Work work) {
  return instance(info.Env())
      .executor.submit(
          info.Env(), [function, work = std::move(work)] { return named(function, work); },
          [](Napi::Env env, std::vector<at::Tensor> tensors) { return wrap_tensors(env, std::move(tensors)); });
}

// mergeLora(weight, loraA, loraB, scale)
Napi::Value merge_lora(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [weight = to_tensor(info[0], "mergeLora: weight"), lora_A = to_tensor(info[1], "mergeLora: loraA"),
             lora_B = to_tensor(info[2], "mergeLora: loraB"), scale = to_number(info[3], "mergeLora: scale")] {
              return named("mergeLora", [&] { return nn::merged(weight, lora_A, lora_B, scale); });
            },
            [](Napi::Env env, at::Tensor merged) { return wrap_tensor(env, std::move(merged)); });
  });
}

// sumLora(loraA[], loraB[], scales, rank): [A, B]
Napi::Value sum_lora(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&] {
    return tensors_of(info, "sumLora",
                      [pairs = to_pairs(info[0], info[1], "sumLora"), scales = to_numbers(info[2], "sumLora: scales"),
                       rank = to_integer(info[3], "sumLora: rank")] {
                        const LoraPair sum = nn::summed(pairs, scales, rank);
                        return std::vector<at::Tensor>{sum.A, sum.B};
                      });
  });
}

// stackLora(loraA[], loraB[]): [A, B]
Napi::Value stack_lora(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&] {
    return tensors_of(info, "stackLora", [pairs = to_pairs(info[0], info[1], "stackLora")] {
      const LoraPair stack = nn::stacked(pairs);
      return std::vector<at::Tensor>{stack.A, stack.B};
    });
  });
}

// unstackLora(loraA, loraB, parts): [A, B, A, B, …], null where nothing was adapted
Napi::Value unstack_lora(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&] {
    return tensors_of(
        info, "unstackLora",
        [pair = LoraPair{to_tensor(info[0], "unstackLora: loraA"), to_tensor(info[1], "unstackLora: loraB")},
         parts = to_integer(info[2], "unstackLora: parts")] {
          std::vector<at::Tensor> tensors;
          for (const auto& [A, B] : nn::unstacked(pair, parts)) tensors.insert(tensors.end(), {A, B});
          return tensors;
        });
  });
}

// joinRows(tensors, shape)
Napi::Value join_rows(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [tensors = to_tensors(info[0], "joinRows: tensors"), shape = to_shape(info[1], "joinRows: shape")] {
              return named("joinRows", [&] { return ops::join_rows(tensors, shape); });
            },
            [](Napi::Env env, at::Tensor joined) { return wrap_tensor(env, std::move(joined)); });
  });
}

// splitRows(tensor, parts)
Napi::Value split_rows(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&] {
    return tensors_of(info, "splitRows",
                      [tensor = to_tensor(info[0], "splitRows: tensor"),
                       parts = to_integer(info[1], "splitRows: parts")] { return ops::split_rows(tensor, parts); });
  });
}

}  // namespace

void define_adapters(Napi::Env env, Napi::Object exports) {
  exports.Set("mergeLora", Napi::Function::New<merge_lora>(env, "mergeLora"));
  exports.Set("sumLora", Napi::Function::New<sum_lora>(env, "sumLora"));
  exports.Set("stackLora", Napi::Function::New<stack_lora>(env, "stackLora"));
  exports.Set("unstackLora", Napi::Function::New<unstack_lora>(env, "unstackLora"));
  exports.Set("joinRows", Napi::Function::New<join_rows>(env, "joinRows"));
  exports.Set("splitRows", Napi::Function::New<split_rows>(env, "splitRows"));
}

}  // namespace eam::addon
