# What prebuildify drives: the one native build, which CMakeLists.txt describes. Not in the repository's root, whose
# build folder node-gyp would empty first. prebuild.mjs says in EAM_PREBUILD what to build.
{
  'targets': [{
    'target_name': 'eam_torch',
    'type': 'none',
    'actions': [{
      'action_name': 'cmake',
      'inputs': ['gyp-build.mjs'],
      # Never written, so that the action always runs: what is up to date is for CMake to know.
      'outputs': ['<(PRODUCT_DIR)/always'],
      'action': ['node', 'gyp-build.mjs', '<(PRODUCT_DIR)']
    }]
  }]
}
