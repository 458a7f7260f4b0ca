// Opens shared libraries by absolute path, so that the addon's own dependencies, which name no folder, are found
// already loaded. It must load where LibTorch does not, hence plain C that needs nothing but libc.
#include <dlfcn.h>
#include <node_api.h>
#include <stdlib.h>

// open(path): undefined, or the dynamic linker's message. A library stays open for the life of the process: threads of
// its own may run in it.
static napi_value open_library(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument, result;
  size_t length = 0;
  napi_get_undefined(env, &result);
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok ||
      napi_get_value_string_utf8(env, argument, NULL, 0, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "open: `path` must be a string");
    return result;
  }
  char* path = malloc(length + 1);
  if (path == NULL) {
    napi_throw_error(env, NULL, "open: out of memory");
    return result;
  }
  napi_get_value_string_utf8(env, argument, path, length + 1, &length);
  // RTLD_LOCAL: other addons must not see LibTorch's bundled protobuf, OpenMP and BLAS. The addon finds its symbols
  // through its own list of needed libraries.
  void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) {
    const char* message = dlerror();
    napi_create_string_utf8(env, message != NULL ? message : "unknown error", NAPI_AUTO_LENGTH, &result);
  }
  free(path);
  return result;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "open", NAPI_AUTO_LENGTH, open_library, NULL, &function);
  napi_set_named_property(env, exports, "open", function);
  return exports;
}
