# ccache, where there is one and the caller chose no launcher: a clone that was compiled before costs seconds.
find_program(EAM_CCACHE ccache)
if(EAM_CCACHE)
  foreach(_language C CXX CUDA)
    if(NOT DEFINED CMAKE_${_language}_COMPILER_LAUNCHER)
      # What ccache asks for before it caches a file that uses a precompiled header.
      set(CMAKE_${_language}_COMPILER_LAUNCHER
        "${CMAKE_COMMAND}" -E env "CCACHE_SLOPPINESS=pch_defines,time_macros" "${EAM_CCACHE}")
    endif()
  endforeach()
endif()
