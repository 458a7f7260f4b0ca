#pragma once

#include <napi.h>

// One `define_…` a file: each puts its functions and classes on the module's exports. A new file adds its line here
// and in addon.cpp.
namespace eam::addon {

void define_cancellation(Napi::Env env, Napi::Object exports);
void define_dlpack(Napi::Env env, Napi::Object exports);
void define_kernels(Napi::Env env, Napi::Object exports);
void define_ode_solver(Napi::Env env, Napi::Object exports);
void define_weight_files(Napi::Env env, Napi::Object exports);
void define_networks(Napi::Env env, Napi::Object exports);
void define_flow_model(Napi::Env env, Napi::Object exports);
void define_recorded(Napi::Env env, Napi::Object exports);
void define_recorded_tensor(Napi::Env env, Napi::Object exports);
void define_text_encoder(Napi::Env env, Napi::Object exports);
void define_autoencoder(Napi::Env env, Napi::Object exports);
void define_image_reward(Napi::Env env, Napi::Object exports);
void define_classifier(Napi::Env env, Napi::Object exports);
void define_optimizer(Napi::Env env, Napi::Object exports);
void define_algorithms(Napi::Env env, Napi::Object exports);
void define_images(Napi::Env env, Napi::Object exports);
void define_torchscript(Napi::Env env, Napi::Object exports);
void define_fidelity(Napi::Env env, Napi::Object exports);
void define_file_lock(Napi::Env env, Napi::Object exports);
void define_tensor_file(Napi::Env env, Napi::Object exports);
void define_adapters(Napi::Env env, Napi::Object exports);
void define_tools(Napi::Env env, Napi::Object exports);
void define_measurements(Napi::Env env, Napi::Object exports);
void define_testing(Napi::Env env, Napi::Object exports);

}  // namespace eam::addon
