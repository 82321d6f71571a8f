# Third-party libraries, all Debian 12 packages (scripts/setup installs them).
# Their headers count as SYSTEM: our warning flags judge our code only.

find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Protobuf REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(grpcpp REQUIRED IMPORTED_TARGET grpc++)

# Asio's implementation is compiled once (src/core/asio.cpp) instead of in every file that includes it.
add_library(asio_headers INTERFACE)
target_compile_definitions(asio_headers INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED
  BOOST_ASIO_DISABLE_CONCEPTS)
target_link_libraries(asio_headers INTERFACE Threads::Threads)
