# buildkit_lb_module(NAME SOURCES … USES …)
#
# A module is one folder of src/ and one static library. Its headers are reached as "NAME/file.hpp" and only through
# an include directory of its own (a link to the folder), so a file that includes a module it does not link to
# does not compile.
function(buildkit_lb_module name)
  cmake_parse_arguments(MODULE "" "" "SOURCES;USES" ${ARGN})
  set(include_root ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${include_root})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${include_root}/${name} SYMBOLIC)
  add_library(${name} STATIC ${MODULE_SOURCES})
  target_include_directories(${name} PUBLIC ${include_root})
  target_link_libraries(${name} PUBLIC ${MODULE_USES})
endfunction()
