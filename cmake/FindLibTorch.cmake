# LibTorch::LibTorch from EAM_LIBTORCH. Torch's own package config bakes absolute paths, compiler flags and every CUDA
# library into its users; two libraries (four for CUDA) and two include folders are all that is needed. libtorch.so is
# left out: it is empty, and a CUDA build's would drag libtorch_cuda.so into the cpu variant.
if(NOT EAM_LIBTORCH)
  message(FATAL_ERROR "EAM_LIBTORCH is not set. Run `npx eam build`, which finds or fetches a LibTorch, "
                      "or pass -DEAM_LIBTORCH=<folder with include/ and lib/>.")
endif()

# Looked up anew each time: another EAM_LIBTORCH in the same build folder must not find the files of the one before.
unset(LibTorch_INCLUDE_DIR CACHE)
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h PATHS "${EAM_LIBTORCH}/include" NO_DEFAULT_PATH)
set(_names c10 torch_cpu)
if(EAM_VARIANT STREQUAL "cuda")
  list(APPEND _names c10_cuda torch_cuda)
endif()
set(LibTorch_LIBRARIES)
set(_required LibTorch_INCLUDE_DIR)
foreach(_name ${_names})
  unset(LibTorch_${_name} CACHE)
  find_library(LibTorch_${_name} ${_name} PATHS "${EAM_LIBTORCH}/lib" NO_DEFAULT_PATH)
  list(APPEND _required LibTorch_${_name})
  list(APPEND LibTorch_LIBRARIES "${LibTorch_${_name}}")
endforeach()

# A wheel writes its version into version.py, a LibTorch archive into build-version.
foreach(_file version.py build-version)
  if(EXISTS "${EAM_LIBTORCH}/${_file}" AND NOT LibTorch_VERSION)
    file(READ "${EAM_LIBTORCH}/${_file}" _text)
    string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+[^'\"\n ]*" LibTorch_VERSION "${_text}")
    if("${_text}" MATCHES "cuda[^=\n]*= *'([0-9]+)[0-9.]*'")
      set(LibTorch_CUDA_MAJOR "${CMAKE_MATCH_1}")
    endif()
  endif()
endforeach()

file(GLOB LibTorch_OPENMP "${EAM_LIBTORCH}/lib/libgomp*.so*" "${EAM_LIBTORCH}/lib/libomp*.dylib")

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS ${_required}
  VERSION_VAR LibTorch_VERSION)

if(NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  set_target_properties(LibTorch::LibTorch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_INCLUDE_DIR};${LibTorch_INCLUDE_DIR}/torch/csrc/api/include"
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${LibTorch_INCLUDE_DIR};${LibTorch_INCLUDE_DIR}/torch/csrc/api/include"
    INTERFACE_LINK_LIBRARIES "${LibTorch_LIBRARIES}")
  if(NOT APPLE)  # whose linker does not look into libraries
    set_target_properties(LibTorch::LibTorch PROPERTIES INTERFACE_LINK_OPTIONS "-Wl,--allow-shlib-undefined")
  endif()
endif()
