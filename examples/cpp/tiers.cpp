// Memory, Redis and disk behind one handle, in C++: what was put before a restart is read from below after it.
//
//   c++ -std=c++17 -Iinclude examples/cpp/tiers.cpp -Ltarget/release -lcatzilla_cache -Wl,-rpath,... -o tiers
//   ./tiers FOLDER [redis://127.0.0.1:6379]
#include "catzilla_cache.hpp"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

static const char* name(catzilla::tier tier)
{
    return tier == catzilla::tier::memory ? "memory" : tier == catzilla::tier::redis ? "redis" : "disk";
}

static void look(catzilla::cache& cache, const char* when)
{
    if (const auto value = cache.acquire("user:1"))
        std::cout << when << ": " << value->view() << ", from " << name(value->tier()) << '\n';
}

static void tell(const catzilla::cache& cache, catzilla::tier tier)
{
    const auto health = cache.health(tier);
    const auto figures = cache.tier_statistics(tier);
    if (!health || !figures) return;  // The cache has no such tier.
    std::cout << name(tier) << (health->is_up ? " is up" : " is down: " + health->last_error) << ", hits " << figures->hits
              << ", misses " << figures->misses << ", errors " << figures->errors << '\n';
}

static void use_tiers(const std::string& folder, const std::string& url)
{
    catzilla::options options;
    options.set("memory.capacity", "1000").set("disk.path", folder).set("disk.max_bytes", "256MiB");
    options.set("redis.url", url).set("redis.key_prefix", "example:");
    {
        catzilla::cache cache{options};
        cache.put("user:1", "Ada Lovelace", 10min);
        look(cache, "before");
        // The end of the cache writes what is queued for the disk; flush does so in between.
    }
    catzilla::cache cache{options};
    look(cache, "after");
    look(cache, "again");
    tell(cache, catzilla::tier::redis);
    tell(cache, catzilla::tier::disk);
}

int main(int argc, char** argv)
{
    if (argc < 2) {
        std::cerr << "usage: " << argv[0] << " FOLDER [REDIS_URL]\n";
        return 2;
    }
    const char* from_environment = std::getenv("REDIS_URL");
    try {
        use_tiers(argv[1], argc > 2 ? argv[2] : from_environment ? from_environment : "");
    } catch (const catzilla::error& failure) {
        std::cerr << failure.what() << " (" << failure.name() << ")\n";
        return 1;
    }
    return 0;
}
