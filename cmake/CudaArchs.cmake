# Ampere, Hopper, Blackwell (data centre and workstation). PTX of the newest follows for devices to come.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100-real 120)
endif()
