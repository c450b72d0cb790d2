// The same small program in C++: ownership is the objects' business, a miss is an empty optional, failures are thrown.
//
//   c++ -std=c++17 -Iinclude examples/cpp/quickstart.cpp -Ltarget/release -lcatzilla_cache -Wl,-rpath,... -o quickstart
#include "catzilla_cache.hpp"

#include <chrono>
#include <iostream>

using namespace std::chrono_literals;

static void use_cache()
{
    catzilla::cache cache{catzilla::options{}.set("memory.capacity", "10000").set("memory.ttl", "1h")};

    cache.put("user:1", "Ada Lovelace", 30s);
    if (auto copy = cache.get("user:1")) std::cout << "read:    " << *copy << '\n';

    // Pinned, not copied: it stays as it is even when the entry is removed.
    auto pinned = cache.acquire("user:1");
    cache.remove("user:1");
    if (pinned) std::cout << "pinned:  " << pinned->view() << '\n';

    if (!cache.get("user:1")) std::cout << "removed: a miss is an answer, not an error\n";

    const auto numbers = cache.statistics();
    std::cout << "hits " << numbers.hits << ", misses " << numbers.misses << ", hit ratio " << numbers.hit_ratio << '\n';
}

int main()
{
    try {
        std::cout << "catzilla-cache " << catzilla_version() << '\n';
        use_cache();
    } catch (const catzilla::error& failure) {
        std::cerr << failure.what() << " (" << failure.name() << ")\n";
        return 1;
    }
    return 0;
}
