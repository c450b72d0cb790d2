# Configures, builds and runs the consumer project against the package in PREFIX. KIND is cache or cache_static.
file(REMOVE_RECURSE "${WORK}")
execute_process(
  COMMAND "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${WORK}" -G "${GENERATOR}" -DCMAKE_PREFIX_PATH=${PREFIX}
    -DCMAKE_C_COMPILER=${CC} -DCMAKE_CXX_COMPILER=${CXX} -DKIND=${KIND} -DWANTED_VERSION=${VERSION}
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${WORK}" OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
if(KIND STREQUAL "cache")
  set(way shared)
else()
  set(way static)
endif()
execute_process(COMMAND "${WORK}/consumer" ${way} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${WORK}/consumer_cpp" COMMAND_ERROR_IS_FATAL ANY)
