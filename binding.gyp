# For those who come with node-gyp: `npx node-gyp rebuild` in a clone is `npm run setup`, whose native build
# CMakeLists.txt describes. Not published, and package.json says "gypfile": false, so that npm runs nothing on install;
# what prebuildify drives is scripts/prebuild/binding.gyp.
{
  'targets': [{
    'target_name': 'eam_torch',
    'type': 'none',
    'actions': [{
      'action_name': 'setup',
      'inputs': ['CMakeLists.txt'],
      # Never written, so that the action always runs: what is up to date is for CMake to know.
      'outputs': ['<(PRODUCT_DIR)/always'],
      'action': ['node', 'scripts/setup.mjs']
    }]
  }]
}
