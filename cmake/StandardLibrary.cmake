# eam_link_standard_library(<target>…)
#
# A process has one libstdc++, LibTorch's: exceptions, locales and the allocator of one copy are not those of another,
# and a process with two of them aborts at its end or earlier. Some compilers link it statically (-static-libstdc++ in
# their specs or in CXXFLAGS). The shared library is therefore named here, before what the compiler appends: an archive
# that follows finds nothing undefined. What came of it is checked after linking (CheckStandardLibrary.cmake).
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  function(eam_link_standard_library)
  endfunction()
  return()
endif()

# What the process will have: Node's own libstdc++, where Node names one. A compiler may bring a newer one, with newer
# symbols.
execute_process(
  COMMAND node -p "process.report.getReport().sharedObjects.find((path) => /libstdc\\+\\+\\.so\\.6/.test(path)) ?? ''"
  OUTPUT_VARIABLE EAM_PROCESS_LIBSTDCXX OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)

function(_eam_find_libstdcxx result)
  # The compiler's own (a linker script in the toolsets of Red Hat, which adds what the system's library lacks), then
  # the system's.
  foreach(_name libstdc++.so libstdc++.so.6)
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} ${CMAKE_CXX_COMPILER_ARG1} -print-file-name=${_name}
      OUTPUT_VARIABLE _path OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(IS_ABSOLUTE "${_path}" AND EXISTS "${_path}")
      set(${result} "${_path}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  unset(_found CACHE)
  find_library(_found NAMES stdc++ libstdc++.so.6)
  if(_found MATCHES "\\.so")
    set(${result} "${_found}" PARENT_SCOPE)
  elseif(EAM_PROCESS_LIBSTDCXX AND EXISTS "${EAM_PROCESS_LIBSTDCXX}")
    set(${result} "${EAM_PROCESS_LIBSTDCXX}" PARENT_SCOPE)
  endif()
endfunction()

set(EAM_LIBSTDCXX "$ENV{EAM_LIBSTDCXX}" CACHE FILEPATH
  "The shared libstdc++ to link; the compiler's own where this is empty")
if(EAM_LIBSTDCXX)
  set(_eam_libstdcxx "${EAM_LIBSTDCXX}")
else()
  _eam_find_libstdcxx(_eam_libstdcxx)
endif()
if(NOT _eam_libstdcxx OR NOT EXISTS "${_eam_libstdcxx}")
  message(FATAL_ERROR "No shared libstdc++ was found (EAM_LIBSTDCXX: '${EAM_LIBSTDCXX}'), and ${CMAKE_CXX_COMPILER} "
    "would link a static one, which LibTorch's process must not have. Set EAM_LIBSTDCXX to a libstdc++.so.6, or CXX "
    "to a compiler that has one, such as CXX=/usr/bin/g++ of the package g++.")
endif()

function(eam_link_standard_library)
  foreach(_target ${ARGN})
    set(_map "${CMAKE_CURRENT_BINARY_DIR}/${_target}.map")
    target_link_libraries(${_target} PRIVATE "${_eam_libstdcxx}")
    target_link_options(${_target} PRIVATE "LINKER:-Map=${_map}")
    add_custom_command(TARGET ${_target} POST_BUILD VERBATIM COMMAND "${CMAKE_COMMAND}"
      "-DFILE=$<TARGET_FILE:${_target}>" "-DMAP=${_map}" "-DLIBRARY=${_eam_libstdcxx}"
      "-DPROCESS_LIBRARY=${EAM_PROCESS_LIBSTDCXX}" "-DREADELF=${CMAKE_READELF}" "-DCOMPILER=${CMAKE_CXX_COMPILER}"
      -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/CheckStandardLibrary.cmake")
  endforeach()
endfunction()
