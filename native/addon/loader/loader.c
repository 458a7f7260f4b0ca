// Opens LibTorch's libraries by absolute path, so that the addon's own dependencies, which name no folder, are found
// already loaded, and says what was opened. It must load where LibTorch does not, hence plain C that needs nothing but
// libc.
#define _GNU_SOURCE
#include <dlfcn.h>
#ifdef __linux__
#include <link.h>
#endif
#include <node_api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { most_libraries = 64 };

// The argument as a string of malloc's; NULL where it is none, or there is no memory.
static char* text_of(napi_env env, napi_value value) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return NULL;
  char* text = malloc(length + 1);
  if (text != NULL) napi_get_value_string_utf8(env, value, text, length + 1, &length);
  return text;
}

// Up to `count` string arguments; 0, with an exception pending, where one is no string.
static int texts_of(napi_env env, napi_callback_info info, size_t* count, char** texts) {
  napi_value arguments[most_libraries];
  size_t given = *count;
  napi_get_cb_info(env, info, &given, arguments, NULL, NULL);
  if (given > *count) given = *count;
  for (size_t i = 0; i < given; ++i) {
    texts[i] = text_of(env, arguments[i]);
    if (texts[i] != NULL) continue;
    while (i > 0) free(texts[--i]);
    napi_throw_type_error(env, NULL, "eam_loader: the arguments must be strings");
    return 0;
  }
  *count = given;
  return 1;
}

// open(...paths): opens them in order; undefined, or the dynamic linker's message about the last one, and then none of
// them stays open on this call's account. The others stay for the life of the process: threads of their own may run in
// them. One before the last that cannot be opened by itself is left to what needs it: it may use symbols of libraries
// that it does not name (LibTorch's libtorch_nvshmem uses libc10_cuda's), which are found only in the scope of a
// library that needs both. Where it is broken or lacks something, the last one cannot be opened either, and the message
// says why.
static napi_value open_libraries(napi_env env, napi_callback_info info) {
  char* paths[most_libraries];
  void* handles[most_libraries];
  size_t count = most_libraries;
  napi_value result;
  napi_get_undefined(env, &result);
  if (!texts_of(env, info, &count, paths)) return result;
  for (size_t i = 0; i < count; ++i) {
    // RTLD_LOCAL: other addons must not see LibTorch's bundled protobuf, OpenMP and BLAS. The addon finds its symbols
    // through its own list of needed libraries.
    handles[i] = dlopen(paths[i], RTLD_NOW | RTLD_LOCAL);
    if (handles[i] != NULL || i + 1 < count) continue;
    const char* message = dlerror();
    napi_create_string_utf8(env, message != NULL ? message : "unknown error", NAPI_AUTO_LENGTH, &result);
    while (i-- > 0) {
      if (handles[i] != NULL) dlclose(handles[i]);
    }
    break;
  }
  for (size_t i = 0; i < count; ++i) free(paths[i]);
  return result;
}

// locate(name): the file that a library which needs `name` would be given from what is open; undefined where nothing of
// that name is.
static napi_value locate_library(napi_env env, napi_callback_info info) {
  char* name;
  size_t count = 1;
  napi_value result;
  napi_get_undefined(env, &result);
  if (!texts_of(env, info, &count, &name) || count == 0) return result;
#ifdef __linux__
  void* handle = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
  struct link_map* map;
  if (handle != NULL && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0) {
    napi_create_string_utf8(env, map->l_name, NAPI_AUTO_LENGTH, &result);
  }
  if (handle != NULL) dlclose(handle);
#endif
  free(name);
  return result;
}

// libtorchVersion(path): what an open libtorch_cpu says that it is, such as "2.13.0"; undefined where it does not say.
static napi_value libtorch_version(napi_env env, napi_callback_info info) {
  char* path;
  size_t count = 1;
  napi_value result;
  napi_get_undefined(env, &result);
  if (!texts_of(env, info, &count, &path) || count == 0) return result;
  void* handle = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
  free(path);
  if (handle == NULL) return result;
  // Major, minor and patch are a byte each, from the top (torch/csrc/inductor/aoti_torch/c/shim.h).
  uint64_t (*abi_version)(void) = (uint64_t (*)(void))dlsym(handle, "aoti_torch_abi_version");
  if (abi_version != NULL) {
    uint64_t version = abi_version();
    char text[16];
    snprintf(text, sizeof(text), "%u.%u.%u", (unsigned)(version >> 56) & 255, (unsigned)(version >> 48) & 255,
             (unsigned)(version >> 40) & 255);
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result);
  }
  dlclose(handle);
  return result;
}

// setDefault(name, value): sets the process's environment variable where it is not set. A worker's process.env is a
// copy that native code does not see.
static napi_value set_default(napi_env env, napi_callback_info info) {
  char* texts[2];
  size_t count = 2;
  napi_value result;
  napi_get_undefined(env, &result);
  if (!texts_of(env, info, &count, texts)) return result;
  if (count == 2) setenv(texts[0], texts[1], 0);
  while (count > 0) free(texts[--count]);
  return result;
}

static void add(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function);
  napi_set_named_property(env, exports, name, function);
}

NAPI_MODULE_INIT() {
  add(env, exports, "open", open_libraries);
  add(env, exports, "locate", locate_library);
  add(env, exports, "libtorchVersion", libtorch_version);
  add(env, exports, "setDefault", set_default);
  return exports;
}
