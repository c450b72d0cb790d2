# What a program that links the static library must link besides it. Sets CATZILLA_NATIVE_LIBS, a list of bare names.

# rustc says what its standard library needs on this platform; an empty crate is enough to ask. The list below is what
# rustc 1.95 says for x86_64-unknown-linux-gnu, used where no rustc is at hand.
set(CATZILLA_NATIVE_LIBS util rt pthread m dl)

find_program(RUSTC_EXECUTABLE rustc HINTS "$ENV{CARGO_HOME}/bin" "$ENV{HOME}/.cargo/bin")
if(RUSTC_EXECUTABLE)
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/native_libs/empty.rs" "")
  set(catzilla_rustc_target)
  if(NOT "$ENV{CARGO_BUILD_TARGET}" STREQUAL "")
    set(catzilla_rustc_target --target "$ENV{CARGO_BUILD_TARGET}")
  endif()
  execute_process(
    COMMAND "${RUSTC_EXECUTABLE}" ${catzilla_rustc_target} --crate-type staticlib --print native-static-libs
      -o libempty.a empty.rs
    WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/native_libs"
    RESULT_VARIABLE catzilla_rustc_result ERROR_VARIABLE catzilla_rustc_says OUTPUT_QUIET)
  if(catzilla_rustc_result EQUAL 0 AND catzilla_rustc_says MATCHES "native-static-libs: ([^\n]*)")
    string(REGEX MATCHALL "-l[^ ]+" CATZILLA_NATIVE_LIBS "${CMAKE_MATCH_1}")
    list(TRANSFORM CATZILLA_NATIVE_LIBS REPLACE "^-l" "")
  endif()
endif()

# The compiler driver adds these itself and knows which unwinder goes with -static; naming gcc_s makes `cc -static` fail.
list(REMOVE_ITEM CATZILLA_NATIVE_LIBS gcc_s c)
list(REMOVE_DUPLICATES CATZILLA_NATIVE_LIBS)
