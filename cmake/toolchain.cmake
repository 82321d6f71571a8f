# Flags every target gets: warnings, hardening, sanitizers, the fast linker and the compiler cache.

find_program(CCACHE ccache)
if(CCACHE)
  # Relative to the checkout, so that another clone finds what this one has compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives out of inlined coroutine frames and std::variant.
  add_compile_options(-Wno-maybe-uninitialized -Wno-mismatched-new-delete)
endif()

find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(BUILDKIT_LB_SANITIZE)
  # vptr looks at vtables through a pipe, and fails where a test has taken all descriptors.
  add_compile_options(-fsanitize=${BUILDKIT_LB_SANITIZE} -fno-sanitize=vptr -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BUILDKIT_LB_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  # tests/e2e/test_binary.py looks for what these leave in the program; docs/security.md says what each is for.
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -D_GLIBCXX_ASSERTIONS -fstack-protector-strong
    -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero)
  add_link_options(-Wl,-z,relro,-z,now -Wl,-z,noexecstack)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)
