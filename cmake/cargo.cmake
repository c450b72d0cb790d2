# Where the library comes from. Sets CATZILLA_BUILT_DIR, the folder that holds (or will hold) libcatzilla_cache.so and .a,
# defines the target `catzilla_library`, and fills CATZILLA_LINK_DIR, the build tree's own folder of versioned links.
#
# cargo decides what is fresh: the target always runs it, and it does nothing when nothing changed.

set(CATZILLA_LINK_DIR "${CMAKE_CURRENT_BINARY_DIR}/lib")
set(CATZILLA_FULL_NAME "libcatzilla_cache.so.${PROJECT_VERSION}")
set(CATZILLA_SONAME "libcatzilla_cache.so.${catzilla_abi}")

if(CATZILLA_CACHE_LIBRARY_DIR)
  get_filename_component(CATZILLA_BUILT_DIR "${CATZILLA_CACHE_LIBRARY_DIR}" ABSOLUTE BASE_DIR "${CMAKE_SOURCE_DIR}")
  if(NOT EXISTS "${CATZILLA_BUILT_DIR}/libcatzilla_cache.so")
    message(FATAL_ERROR "CATZILLA_CACHE_LIBRARY_DIR: ${CATZILLA_BUILT_DIR} has no libcatzilla_cache.so")
  endif()
  add_custom_target(catzilla_library)
else()
  find_program(CARGO_EXECUTABLE cargo HINTS "$ENV{CARGO_HOME}/bin" "$ENV{HOME}/.cargo/bin")
  if(NOT CARGO_EXECUTABLE)
    message(FATAL_ERROR "cargo is not on the PATH; install a Rust toolchain or set CATZILLA_CACHE_LIBRARY_DIR")
  endif()

  # Asked rather than assumed: CARGO_TARGET_DIR and any .cargo/config.toml may put the target folder elsewhere.
  execute_process(
    COMMAND "${CARGO_EXECUTABLE}" metadata --no-deps --format-version 1
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
    OUTPUT_VARIABLE catzilla_metadata COMMAND_ERROR_IS_FATAL ANY)
  string(JSON catzilla_target_dir GET "${catzilla_metadata}" target_directory)
  set(CATZILLA_BUILT_DIR "${catzilla_target_dir}/$ENV{CARGO_BUILD_TARGET}/release")
  cmake_path(NORMAL_PATH CATZILLA_BUILT_DIR)

  # Without an rlib beside them, which no link-time optimisation is done for, and then none at all.
  set(catzilla_build rustc --release --locked --lib --crate-type cdylib,staticlib)
  list(JOIN catzilla_build " " catzilla_build_text)

  # The folder found now is passed on, so that a later build from another environment still fills the one that is linked.
  add_custom_target(catzilla_library ALL
    COMMAND "${CARGO_EXECUTABLE}" ${catzilla_build} --target-dir "${catzilla_target_dir}"
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
    BYPRODUCTS
      "${CATZILLA_BUILT_DIR}/libcatzilla_cache.so" "${CATZILLA_BUILT_DIR}/libcatzilla_cache.a"
      "${CATZILLA_LINK_DIR}/${CATZILLA_SONAME}"
    COMMENT "cargo ${catzilla_build_text}"
    USES_TERMINAL VERBATIM)
endif()

# A program finds the library by its soname, which cargo does not put on disk. The links may dangle until cargo has run.
file(MAKE_DIRECTORY "${CATZILLA_LINK_DIR}")
file(CREATE_LINK "${CATZILLA_BUILT_DIR}/libcatzilla_cache.so" "${CATZILLA_LINK_DIR}/${CATZILLA_FULL_NAME}" SYMBOLIC)
file(CREATE_LINK "${CATZILLA_FULL_NAME}" "${CATZILLA_LINK_DIR}/${CATZILLA_SONAME}" SYMBOLIC)
file(CREATE_LINK "${CATZILLA_SONAME}" "${CATZILLA_LINK_DIR}/libcatzilla_cache.so" SYMBOLIC)
