# The compiled half of the Python package: one extension module with the cffi interface and the builtins of bindings/python/native.
# With CATZILLA_PYTHON_OUTPUT it is put there (a checkout's package folder, where tests find it); under scikit-build-core it
# goes into the wheel, with the library and the header beside it.

# CPython's own limited interface makes one file serve 3.10 and every later version. Free-threaded builds do not have it before 3.15.
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
    "import sys, sysconfig; print(int(sys.version_info >= (3, 10) and not sysconfig.get_config_var('Py_GIL_DISABLED')))"
  OUTPUT_VARIABLE catzilla_has_stable_abi OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

set(native "${CMAKE_CURRENT_SOURCE_DIR}/bindings/python/native")
set(cffi_source "${CMAKE_CURRENT_BINARY_DIR}/_catzilla_cffi.c")
add_custom_command(
  OUTPUT "${cffi_source}"
  COMMAND "${Python_EXECUTABLE}" "${native}/make_cffi_source.py"
    "${CMAKE_CURRENT_SOURCE_DIR}/include/catzilla_cache.h" "${cffi_source}"
  DEPENDS "${native}/make_cffi_source.py" "${CMAKE_CURRENT_SOURCE_DIR}/include/catzilla_cache.h"
  VERBATIM)

Python_add_library(catzilla_cffi MODULE WITH_SOABI
  "${cffi_source}" "${native}/arguments.c" "${native}/awaitable.c" "${native}/blake2b.c" "${native}/call_keys.c" "${native}/callable.c" "${native}/codec.c" "${native}/codec_read.c"
  "${native}/codec_read_containers.c" "${native}/codec_write.c" "${native}/codec_write_containers.c"
  "${native}/engine.c" "${native}/engine_bytes.c" "${native}/engine_values.c"
  "${native}/http_asgi.c" "${native}/http_call.c" "${native}/http_conditions.c" "${native}/http_environ.c" "${native}/http_finder.c" "${native}/http_key.c"
  "${native}/http_messages.c" "${native}/http_names.c" "${native}/http_scope.c" "${native}/http_sending.c" "${native}/http_stored.c"
  "${native}/http_tails.c" "${native}/http_url.c"
  "${native}/module.c" "${native}/object_cache.c" "${native}/object_deadlines.c"
  "${native}/object_flight.c" "${native}/object_function.c" "${native}/object_ghost.c" "${native}/object_lifetime.c" "${native}/object_methods.c"
  "${native}/object_order.c" "${native}/object_ready.c" "${native}/object_table.c" "${native}/object_type.c" "${native}/objects.c")
set_target_properties(catzilla_cffi PROPERTIES OUTPUT_NAME _catzilla_cffi C_STANDARD 11)
target_link_libraries(catzilla_cffi PRIVATE catzilla::cache)
# A function that this CPython has not got would be found missing when the module is imported, and not before.
target_compile_options(catzilla_cffi PRIVATE -O2 -fno-plt -fvisibility=hidden -Wall -Wextra -Werror=implicit-function-declaration)
set_source_files_properties("${cffi_source}" PROPERTIES COMPILE_OPTIONS -w)
if(catzilla_has_stable_abi)
  target_compile_definitions(catzilla_cffi PRIVATE Py_LIMITED_API=0x030A0000)
  set_target_properties(catzilla_cffi PROPERTIES SUFFIX .abi3.so)
else()
  # cffi would choose the limited interface by itself.
  target_compile_definitions(catzilla_cffi PRIVATE _CFFI_NO_LIMITED_API)
endif()

if(SKBUILD)
  set_target_properties(catzilla_cffi PROPERTIES INSTALL_RPATH "$ORIGIN" BUILD_WITH_INSTALL_RPATH TRUE)
  install(TARGETS catzilla_cffi LIBRARY DESTINATION catzilla_cache COMPONENT python)
  install(FILES "${CATZILLA_BUILT_DIR}/libcatzilla_cache.so" DESTINATION catzilla_cache RENAME "${CATZILLA_SONAME}"
    COMPONENT python)
  install(FILES "${CMAKE_CURRENT_SOURCE_DIR}/include/catzilla_cache.h" DESTINATION catzilla_cache/include COMPONENT python)
elseif(CATZILLA_PYTHON_OUTPUT)
  set_target_properties(catzilla_cffi PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CATZILLA_PYTHON_OUTPUT}")
endif()
