// The second unit of the api_wrapper program: the header has no definition that clashes when it is included twice.
#include "catzilla_cache.hpp"

#include <string>
#include <string_view>

std::string stored_by_another_unit(catzilla::cache& cache, std::string_view key) {
    cache.put(key, "from the other unit");
    return cache.get(key).value_or("");
}
