# NodeApi::NodeApi: node-addon-api and the Node-API headers, both npm packages, so that no Node source is downloaded.
function(_eam_node_print expression result)
  execute_process(COMMAND node -p "${expression}" WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
    OUTPUT_VARIABLE _out OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE _rc)
  if(NOT _rc EQUAL 0)
    message(FATAL_ERROR "`node -p ${expression}` failed; run `npm ci` first.")
  endif()
  set(${result} "${_out}" PARENT_SCOPE)
endfunction()

_eam_node_print("require('node-addon-api').include_dir" NodeApi_WRAPPER_DIR)
_eam_node_print("require('node-api-headers').include_dir" NodeApi_HEADERS_DIR)
get_filename_component(NodeApi_WRAPPER_DIR "${NodeApi_WRAPPER_DIR}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_SOURCE_DIR}")

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NodeApi REQUIRED_VARS NodeApi_WRAPPER_DIR NodeApi_HEADERS_DIR)

if(NOT TARGET NodeApi::NodeApi)
  add_library(NodeApi::NodeApi INTERFACE IMPORTED)
  set_target_properties(NodeApi::NodeApi PROPERTIES
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${NodeApi_WRAPPER_DIR};${NodeApi_HEADERS_DIR}"
    INTERFACE_INCLUDE_DIRECTORIES "${NodeApi_WRAPPER_DIR};${NodeApi_HEADERS_DIR}"
    # _ALL: a C++ exception of any type (c10::Error too) becomes a JavaScript error instead of ending the process.
    # SWALLOW: in a worker that is being terminated no JavaScript error can be thrown any more, which is no reason to
    # abort.
    INTERFACE_COMPILE_DEFINITIONS
      "NAPI_VERSION=9;NODE_ADDON_API_CPP_EXCEPTIONS_ALL;NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS")
endif()
