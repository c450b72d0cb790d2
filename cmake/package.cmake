# The targets catzilla::cache and catzilla::cache_static, and what `cmake --install` lays down. The build tree uses the very
# package config that is installed, with other folders in it, so that both kinds of caller get the same targets.
include(CMakePackageConfigHelpers)

set(CATZILLA_CONFIG_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/catzilla_cache")
set(catzilla_config_template "${CMAKE_CURRENT_SOURCE_DIR}/cmake/catzilla_cacheConfig.cmake.in")

# Build tree: -Dcatzilla_cache_DIR=<build> works as well.
set(CATZILLA_SHARED_FILE "${CATZILLA_LINK_DIR}/${CATZILLA_SONAME}")
set(CATZILLA_STATIC_FILE "${CATZILLA_BUILT_DIR}/libcatzilla_cache.a")
set(CATZILLA_INCLUDE_DIR "${CMAKE_CURRENT_SOURCE_DIR}/include")
configure_package_config_file("${catzilla_config_template}" "${CMAKE_CURRENT_BINARY_DIR}/catzilla_cacheConfig.cmake"
  INSTALL_DESTINATION "${CMAKE_CURRENT_BINARY_DIR}" INSTALL_PREFIX "${CMAKE_CURRENT_BINARY_DIR}"
  PATH_VARS CATZILLA_SHARED_FILE CATZILLA_STATIC_FILE CATZILLA_INCLUDE_DIR)

# Before 1.0 a minor release may change the package; the ABI number guards programs that are already linked.
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/catzilla_cacheConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)

include("${CMAKE_CURRENT_BINARY_DIR}/catzilla_cacheConfig.cmake")
set_target_properties(catzilla::cache catzilla::cache_static PROPERTIES IMPORTED_GLOBAL TRUE)
add_dependencies(catzilla::cache catzilla_library)
add_dependencies(catzilla::cache_static catzilla_library)

# Install.
set(CATZILLA_SHARED_FILE "${CMAKE_INSTALL_LIBDIR}/${CATZILLA_SONAME}")
set(CATZILLA_STATIC_FILE "${CMAKE_INSTALL_LIBDIR}/libcatzilla_cache.a")
set(CATZILLA_INCLUDE_DIR "${CMAKE_INSTALL_INCLUDEDIR}")
configure_package_config_file("${catzilla_config_template}"
  "${CMAKE_CURRENT_BINARY_DIR}/install/catzilla_cacheConfig.cmake"
  INSTALL_DESTINATION "${CATZILLA_CONFIG_DIR}"
  PATH_VARS CATZILLA_SHARED_FILE CATZILLA_STATIC_FILE CATZILLA_INCLUDE_DIR)

# Paths in the .pc start at the file itself, so that the installed tree can be moved.
cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_LIBDIR BASE_DIRECTORY "/prefix" OUTPUT_VARIABLE catzilla_pc_dir)
cmake_path(APPEND catzilla_pc_dir "pkgconfig")
file(RELATIVE_PATH CATZILLA_PC_TO_PREFIX "${catzilla_pc_dir}" "/prefix")
string(REGEX REPLACE "/$" "" CATZILLA_PC_TO_PREFIX "${CATZILLA_PC_TO_PREFIX}")
list(TRANSFORM CATZILLA_NATIVE_LIBS PREPEND "-l" OUTPUT_VARIABLE catzilla_pc_libs)
list(JOIN catzilla_pc_libs " " CATZILLA_PC_PRIVATE_LIBS)
configure_file("${CMAKE_CURRENT_SOURCE_DIR}/cmake/catzilla_cache.pc.in"
  "${CMAKE_CURRENT_BINARY_DIR}/install/catzilla_cache.pc" @ONLY)

install(PROGRAMS "${CATZILLA_BUILT_DIR}/libcatzilla_cache.so"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}" RENAME "${CATZILLA_FULL_NAME}")
install(FILES "${CATZILLA_LINK_DIR}/${CATZILLA_SONAME}" "${CATZILLA_LINK_DIR}/libcatzilla_cache.so"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES "${CATZILLA_BUILT_DIR}/libcatzilla_cache.a" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES include/catzilla_cache.h include/cache_engine.h include/catzilla_cache.hpp
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/install/catzilla_cache.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/install/catzilla_cacheConfig.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/catzilla_cacheConfigVersion.cmake" DESTINATION "${CATZILLA_CONFIG_DIR}")
