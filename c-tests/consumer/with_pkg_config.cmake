# Compiles and runs the consumer with what pkg-config says about the package in PREFIX. KIND is shared or static.
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")
set(ENV{PKG_CONFIG_PATH} "${PREFIX}/${LIBDIR}/pkgconfig")

function(ask variable)
  execute_process(COMMAND "${PKG_CONFIG}" ${ARGN} catzilla_cache OUTPUT_VARIABLE answer COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(answer UNIX_COMMAND "${answer}")
  set(${variable} "${answer}" PARENT_SCOPE)
endfunction()

function(link_and_run name)
  execute_process(COMMAND "${CC}" "${SOURCE}/main.c" -o "${WORK}/${name}" ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND "${WORK}/${name}" ${KIND} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

ask(version --modversion)
if(NOT version STREQUAL VERSION)
  message(FATAL_ERROR "pkg-config says version ${version}, not ${VERSION}")
endif()

if(KIND STREQUAL "shared")
  ask(flags --cflags --libs)
  set(ENV{LD_LIBRARY_PATH} "${PREFIX}/${LIBDIR}")
  link_and_run(consumer ${flags})
else()
  ask(flags --static --cflags --libs)
  link_and_run(all_static ${flags} -static)
  # Only this library static, the C library shared.
  list(TRANSFORM flags REPLACE "^-lcatzilla_cache$" "-Wl,-Bstatic;-lcatzilla_cache;-Wl,-Bdynamic")
  link_and_run(this_static ${flags})
endif()
