# eam_compile_together(<target> PRECOMPILE <header> | REUSE_FROM <target>)
#
# Most of the time that a file takes is spent on LibTorch's headers: on parsing them, and on the templates that they
# leave to be instantiated at the end of every translation unit. So the headers are precompiled, once for both targets,
# and the files of a folder become one translation unit. The groups follow folders, not numbers: a new file changes
# one group, and a changed file compiles its neighbours again and no more. Names in anonymous namespaces must
# therefore differ within a group. Small folders that are close to each other share a group, and the longest is cut in
# three.
set(EAM_TOGETHER_GROUPS
  "nn/(blip|clip|t5)/" encoders
  "nn/(digits|mixture)/" small_models
  "nn/layers/(checkpointing|linear_map)" autograd_functions
  "nn/(layers/script_module|rewards/torchscript_reward|torchscript/)" torchscript
  "addon/(runtime|convert)/" addon_base
  "addon/bindings/(autoencoder|classifier|flow_model|image_reward|networks|text_encoder|torchscript)" addon_networks
  "addon/bindings/recorded" addon_networks
  "addon/bindings/(algorithms|optimizer|fidelity|ode_solver)" addon_training)

function(_eam_group source result)
  set(_rest ${EAM_TOGETHER_GROUPS})
  while(_rest)
    list(POP_FRONT _rest _pattern _name)
    if(source MATCHES "native/${_pattern}")
      set(${result} ${_name} PARENT_SCOPE)
      return()
    endif()
  endwhile()
  get_filename_component(_folder "${source}" DIRECTORY)
  string(REGEX REPLACE "^.*native/" "" _folder "${_folder}")
  string(MAKE_C_IDENTIFIER "${_folder}" _folder)
  set(${result} ${_folder} PARENT_SCOPE)
endfunction()

function(eam_compile_together target how from)
  if(NOT EAM_TOGETHER)
    return()
  endif()
  if(how STREQUAL "REUSE_FROM")
    target_precompile_headers(${target} REUSE_FROM ${from})
  else()
    target_precompile_headers(${target} PRIVATE ${from})
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  get_target_property(_sources ${target} SOURCES)
  foreach(_source ${_sources})
    _eam_group("${_source}" _group)
    set_source_files_properties("${_source}" PROPERTIES UNITY_GROUP ${_group})
  endforeach()
endfunction()
