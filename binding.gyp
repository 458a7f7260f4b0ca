# Lets node-gyp and prebuildify drive the one native build, which CMakeLists.txt describes:
#   npx node-gyp rebuild [--eam_variant=cuda]
{
  'variables': { 'eam_variant%': 'cpu' },
  'targets': [{
    'target_name': 'eam_torch',
    'type': 'none',
    'actions': [{
      'action_name': 'cmake',
      'inputs': ['CMakeLists.txt'],
      # Never written, so that the action always runs: what is up to date is for CMake to know.
      'outputs': ['<(PRODUCT_DIR)/always'],
      'action': ['node', 'scripts/gyp-build.mjs', '<(eam_variant)', '<(PRODUCT_DIR)']
    }]
  }]
}
