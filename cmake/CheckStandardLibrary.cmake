# Run after linking (StandardLibrary.cmake): FILE needs the shared libstdc++, took nothing from a static one (MAP, the
# linker's map, names every member of an archive), and asks PROCESS_LIBRARY, which Node has loaded before, for no
# version that it lacks. A file that fails is removed, so that the next build links it again.
function(refuse)
  string(CONCAT _message ${ARGN})
  file(REMOVE "${FILE}")
  message(FATAL_ERROR "${FILE} was linked with ${COMPILER} and cannot be used: ${_message}")
endfunction()

function(readelf result)
  execute_process(COMMAND "${READELF}" --wide ${ARGN} OUTPUT_VARIABLE _text ERROR_QUIET RESULT_VARIABLE _status)
  if(NOT _status EQUAL 0)
    message(FATAL_ERROR "${READELF} --wide ${ARGN} failed (${_status}); install binutils.")
  endif()
  set(${result} "${_text}" PARENT_SCOPE)
endfunction()

set(_cure "Set CXX to a compiler that links the shared one, such as CXX=/usr/bin/g++ of the package g++, or "
  "the environment's EAM_LIBSTDCXX to another libstdc++.so.6, and build again.")

file(STRINGS "${MAP}" _archived REGEX "lib(std|sup)c\\+\\+(fs|exp)?\\.a\\(")
if(_archived)
  list(GET _archived 0 _first)
  string(STRIP "${_first}" _first)
  refuse("it holds parts of a static libstdc++ (${_first}), beside the shared one that LibTorch loads. " ${_cure})
endif()

readelf(_dynamic --dynamic "${FILE}")
if(NOT _dynamic MATCHES "NEEDED[^\n]*\\[libstdc\\+\\+\\.so\\.6\\]")
  refuse("it does not need libstdc++.so.6, the library that LibTorch was built with. " ${_cure})
endif()

if(PROCESS_LIBRARY)
  readelf(_needed --version-info "${FILE}")
  string(REGEX MATCHALL "Name: (GLIBCXX|CXXABI)_[0-9.]+" _needed "${_needed}")
  readelf(_offered --version-info "${PROCESS_LIBRARY}")
  foreach(_version ${_needed})
    string(REPLACE "." "\\." _pattern "${_version}")
    if(NOT _offered MATCHES "${_pattern}([^0-9.]|$)")
      string(REPLACE "Name: " "" _version "${_version}")
      get_filename_component(_folder "${LIBRARY}" DIRECTORY)
      refuse("it asks for ${_version}, which the libstdc++ of Node's process, ${PROCESS_LIBRARY}, does not have: "
        "the compiler is newer. "
        "Set CXX to the compiler of the system, or run the build and Node with LD_LIBRARY_PATH=${_folder}.")
    endif()
  endforeach()
endif()
