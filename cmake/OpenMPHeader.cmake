# LibTorch's headers include omp.h, which GCC brings along and clang has in a package of its own.
include(CheckIncludeFileCXX)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)  # nothing is linked: OpenMP's library may be missing
check_include_file_cxx(omp.h EAM_HAS_OMP_H -fopenmp)
unset(CMAKE_TRY_COMPILE_TARGET_TYPE)
if(NOT EAM_HAS_OMP_H)
  unset(EAM_HAS_OMP_H CACHE)
  message(FATAL_ERROR "${CMAKE_CXX_COMPILER} finds no omp.h, which LibTorch's headers include. Install clang's "
                      "(libomp-dev on Debian and Ubuntu, libomp-devel on Fedora), or set CXX=g++.")
endif()
