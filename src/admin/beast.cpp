// The one file in which Beast's implementation is compiled (see this folder's CMakeLists.txt).
#include <boost/beast/src.hpp>
