// The same layouts and numbers as a C++ compiler sees them.
#include "abi_layout.c"
