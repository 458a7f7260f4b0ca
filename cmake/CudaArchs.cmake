# Ampere, Hopper, Blackwell (data centre and workstation), as far as this nvcc knows them. PTX of the newest follows for
# devices to come.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  find_program(EAM_NVCC nvcc HINTS "$ENV{CUDACXX}" "$ENV{CUDA_HOME}/bin" "$ENV{CUDA_PATH}/bin" /usr/local/cuda/bin)
  execute_process(COMMAND "${EAM_NVCC}" --version OUTPUT_VARIABLE EAM_NVCC_VERSION ERROR_QUIET)
  string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" _ "${EAM_NVCC_VERSION}")
  if(CMAKE_MATCH_1 AND CMAKE_MATCH_1 VERSION_LESS 12.8)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
  else()
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100-real 120)
  endif()
endif()
