# Installs the build tree BUILD into a fresh prefix, checks what lies there, and moves it to PREFIX: what is installed must not
# remember where it was installed to.
file(REMOVE_RECURSE "${PREFIX}" "${PREFIX}-before-the-move")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${PREFIX}-before-the-move"
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(RENAME "${PREFIX}-before-the-move" "${PREFIX}")

foreach(name IN ITEMS
    "${LIBDIR}/libcatzilla_cache.so" "${LIBDIR}/libcatzilla_cache.so.${ABI}" "${LIBDIR}/libcatzilla_cache.so.${VERSION}"
    "${LIBDIR}/libcatzilla_cache.a" "${LIBDIR}/pkgconfig/catzilla_cache.pc"
    "${LIBDIR}/cmake/catzilla_cache/catzilla_cacheConfig.cmake"
    "${LIBDIR}/cmake/catzilla_cache/catzilla_cacheConfigVersion.cmake"
    include/catzilla_cache.h include/cache_engine.h include/catzilla_cache.hpp)
  if(NOT EXISTS "${PREFIX}/${name}")
    message(SEND_ERROR "not installed: ${name}")
  endif()
endforeach()
if(IS_SYMLINK "${PREFIX}/${LIBDIR}/libcatzilla_cache.so.${VERSION}")
  message(SEND_ERROR "the library itself was installed as a link")
endif()

# The names that programs record and that the linker looks for lead to the versioned file.
foreach(link IN ITEMS libcatzilla_cache.so libcatzilla_cache.so.${ABI})
  file(REAL_PATH "${PREFIX}/${LIBDIR}/${link}" end)
  file(REAL_PATH "${PREFIX}/${LIBDIR}/libcatzilla_cache.so.${VERSION}" library)
  if(NOT end STREQUAL library)
    message(SEND_ERROR "${link} leads to ${end}")
  endif()
endforeach()

file(GLOB_RECURSE texts "${PREFIX}/*.pc" "${PREFIX}/*.cmake")
foreach(text IN LISTS texts)
  file(READ "${text}" content)
  string(FIND "${content}" "${PREFIX}" at)
  if(NOT at EQUAL -1)
    message(SEND_ERROR "${text} names the prefix it was installed to")
  endif()
endforeach()
