// The same for C++ and the wrapper.
#include <catzilla_cache.hpp>

#include <iostream>

int main() {
    try {
        catzilla::cache cache;
        cache.put("k", "value");
        if (cache.get("k") != "value") return 1;
        std::cout << "catzilla-cache " << catzilla_version() << " in C++\n";
    } catch (const catzilla::error& failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
    return 0;
}
