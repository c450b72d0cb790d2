// catzilla_cache.hpp: ownership, misses as empty optionals, failures as exceptions.
#include "catzilla_cache.hpp"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

std::string stored_by_another_unit(catzilla::cache& cache, std::string_view key);

namespace {

struct failed_check {
    const char* condition;
    int line;
};

#define CHECK(condition)                                       \
    do {                                                       \
        if (!(condition)) throw failed_check{#condition, __LINE__}; \
    } while (0)

template <class Call>
catzilla_status_t thrown_by(Call&& call) {
    try {
        call();
    } catch (const catzilla::error& failure) {
        CHECK(std::string_view{failure.what()}.size() > 0);
        CHECK(std::string_view{failure.name()} == catzilla_status_name(failure.code()));
        return failure.code();
    }
    return CATZILLA_OK;
}

void ownership_is_move_only() {
    static_assert(!std::is_copy_constructible_v<catzilla::cache> && std::is_nothrow_move_constructible_v<catzilla::cache>);
    static_assert(!std::is_copy_constructible_v<catzilla::value> && std::is_nothrow_move_constructible_v<catzilla::value>);
    static_assert(!std::is_copy_constructible_v<catzilla::options> && std::is_nothrow_move_constructible_v<catzilla::options>);
    static_assert(std::is_convertible_v<const catzilla::value&, std::string_view>);

    catzilla::cache first;
    first.put("k", "v");
    catzilla::cache second{std::move(first)};
    CHECK(second.get("k") == "v");
    catzilla::cache third;
    third = std::move(second);
    CHECK(third.get("k") == "v");
}

void values_come_back_and_misses_are_empty() {
    catzilla::cache cache;
    const std::string with_zeros("a\0b", 3);
    cache.put(with_zeros, with_zeros);
    CHECK(cache.get(with_zeros) == with_zeros);
    CHECK(!cache.get("a"));
    CHECK(!cache.acquire("a"));
    CHECK(!cache.contains("a"));
    CHECK(!cache.remove("a"));
    CHECK(cache.contains(with_zeros));
    CHECK(cache.remove(with_zeros));
    CHECK(!cache.contains(with_zeros));
}

void empty_and_default_made_views_are_keys_and_values() {
    catzilla::cache cache;
    cache.put({}, {});
    CHECK(cache.contains(""));
    CHECK(cache.get({}) == "");
    auto pinned = cache.acquire("");
    CHECK(pinned && pinned->size() == 0 && pinned->view().empty());
}

void large_values_are_read_whole() {
    catzilla::cache cache;
    for (std::size_t size : {255u, 256u, 257u, 100000u}) {
        std::string large(size, 'x');
        large.back() = 'y';
        cache.put("k", large);
        CHECK(cache.get("k") == large);
    }
}

void a_pinned_value_outlives_entry_and_cache() {
    std::optional<catzilla::value> pinned;
    {
        catzilla::cache cache;
        cache.put("k", "pinned");
        pinned = cache.acquire("k");
        cache.purge();
    }
    CHECK(pinned && pinned->view() == "pinned");
    catzilla::value moved{std::move(*pinned)};
    pinned.reset();
    std::string_view view = moved;
    CHECK(view == "pinned");
}

void ttls_are_durations() {
    catzilla::cache cache;
    cache.put("minute", "v", 1min);
    auto pinned = cache.acquire("minute");
    CHECK(pinned && pinned->remaining_ttl() > 1s && pinned->remaining_ttl() <= 1min + 20ms);
    cache.put("always", "v", catzilla::forever);
    CHECK(cache.acquire("always")->remaining_ttl() == catzilla::forever);
    CHECK(thrown_by([&] { cache.put("k", "v", -1ms); }) == CATZILLA_INVALID_ARGUMENT);

    cache.put("soon", "v", 30ms);
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (cache.contains("soon") && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(5ms);
    CHECK(!cache.contains("soon"));
}

void failures_are_thrown_with_their_code() {
    CHECK(thrown_by([] { catzilla::options{}.set("no.such.option", "1"); }) == CATZILLA_UNKNOWN_OPTION);
    CHECK(thrown_by([] { catzilla::options{}.set("memory.capacity", "many"); }) == CATZILLA_INVALID_OPTION);
    catzilla::cache cache{catzilla::options{}.set("memory.max_value_size", "4")};
    CHECK(thrown_by([&] { cache.put("k", "12345"); }) == CATZILLA_VALUE_TOO_LARGE);
    CHECK(thrown_by([&] { cache.put("k", "1234"); }) == CATZILLA_OK);
    CHECK(thrown_by([&] { cache.set_option("memory.max_value_size", "5"); }) == CATZILLA_OK);
    CHECK(thrown_by([&] { cache.put("k", "12345"); }) == CATZILLA_OK);
    CHECK(thrown_by([&] { cache.set_option("memory.shards", "2"); }) == CATZILLA_OPTION_NOT_LIVE);
    const std::string huge(CATZILLA_MAX_KEY_LEN + 1, 'k');
    CHECK(thrown_by([&] { cache.put(huge, "v"); }) == CATZILLA_KEY_TOO_LARGE);
    CHECK(thrown_by([&] { cache.get(huge); }) == CATZILLA_KEY_TOO_LARGE);
}

void batches_answer_in_the_order_of_their_keys() {
    catzilla::cache cache;
    const std::string large(100000, 'x'), longer(300, 'y');
    cache.put_many({{"a", "1"}, {"large", large, 1min}, {"longer", longer, catzilla::forever}});
    const auto found = cache.get_many({"large", "nobody", "a", "longer", "a"});
    CHECK(found.size() == 5);
    CHECK(found[0] == large && !found[1] && found[2] == "1" && found[3] == longer && found[4] == "1");
    CHECK(cache.statistics().hits == 4 && cache.statistics().misses == 1);
    CHECK(cache.remove_many({"a", "nobody", "large", "a"}) == 2);
    CHECK(!cache.contains("a") && cache.contains("longer"));
    CHECK(cache.get_many({}).empty() && cache.remove_many({}) == 0);
    cache.put_many({});
}

void a_batch_that_is_refused_in_part_throws_and_stores_the_rest() {
    catzilla::cache cache{catzilla::options{}.set("memory.max_value_size", "4")};
    CHECK(thrown_by([&] { cache.put_many({{"a", "1"}, {"b", "12345"}, {"c", "3"}}); }) == CATZILLA_VALUE_TOO_LARGE);
    CHECK(cache.contains("a") && !cache.contains("b") && cache.contains("c"));
    CHECK(thrown_by([&] { cache.put_many({{"d", "1", -1ms}}); }) == CATZILLA_INVALID_ARGUMENT);
    const std::string huge(CATZILLA_MAX_KEY_LEN + 1, 'k');
    CHECK(thrown_by([&] { cache.get_many({"a", huge}); }) == CATZILLA_KEY_TOO_LARGE);
    CHECK(thrown_by([&] { cache.remove_many({huge, "a"}); }) == CATZILLA_KEY_TOO_LARGE);
    CHECK(!cache.contains("a"));
}

void a_sweep_tells_how_many_went() {
    catzilla::cache cache{catzilla::options{}.set("memory.sweep_interval", "off")};
    cache.put("soon", "v", 1ms);
    cache.put("stays", "v");
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    std::size_t swept = 0;
    while (swept == 0 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(5ms);
        swept = cache.sweep();
    }
    CHECK(swept == 1 && cache.sweep() == 0 && cache.contains("stays"));
}

void purge_and_statistics_tell_numbers() {
    catzilla::options settings;
    settings.set("memory.capacity", "100");
    settings.set("memory.compression", "off");
    catzilla::cache cache{settings};
    cache.put("user:1", "v");
    cache.put("user:2", "v");
    cache.put("page:1", "v");
    CHECK(cache.statistics().memory_entries == 3);
    CHECK(cache.statistics().memory_capacity == 100);
    CHECK(cache.purge_prefix("user:") == 2);
    cache.put("user:1", "v");
    CHECK(cache.purge_pattern("u*:?") == 1);
    CHECK(cache.purge() == 1);
    CHECK(cache.statistics().puts == 4);
    CHECK(catzilla_cache_memory_usage(cache.handle()) == cache.statistics().memory_bytes);
}

void a_put_may_have_a_condition() {
    catzilla::cache cache;
    catzilla::put_options absent;
    absent.condition = catzilla::when::absent;
    std::uint64_t version = 0;
    CHECK(cache.put_with("k", "one", absent, &version) && version != 0);
    CHECK(!cache.put_with("k", "two", absent));
    CHECK(cache.get("k") == "one" && cache.acquire("k")->version() == version);
    catzilla::put_options over;
    over.expected_version = version;
    CHECK(cache.put_with("k", "two", over));
    CHECK(!cache.put_with("k", "three", over) && cache.get("k") == "two");
    catzilla::put_options present;
    present.condition = catzilla::when::present;
    CHECK(!cache.put_with("other", "one", present) && !cache.contains("other"));
}

void numbers_count_and_lifetimes_are_renewed() {
    catzilla::cache cache;
    CHECK(cache.increment("n", 5, 10) == 10 && cache.increment("n", 5) == 15 && cache.increment("n", -20) == -5);
    CHECK(cache.get("n") == "-5");
    cache.put("text", "abc");
    CHECK(thrown_by([&] { cache.increment("text"); }) == CATZILLA_NOT_A_NUMBER);
    CHECK(cache.touch("n", catzilla::forever) && cache.acquire("n")->remaining_ttl() == catzilla::forever);
    CHECK(!cache.touch("absent"));
}

void entries_go_by_their_tag_and_keys_are_told() {
    catzilla::cache cache;
    catzilla::put_options tagged;
    tagged.tags = {"red", "blue"};
    CHECK(cache.put_with("page:1", "", tagged) && cache.put_with("page:2", "", tagged));
    cache.put("page:3", "");
    cache.put("image:1", "");
    std::set<std::string> keys;
    cache.each_key("page:", [&](std::string_view key) { keys.emplace(key); });
    CHECK((keys == std::set<std::string>{"page:1", "page:2", "page:3"}));
    CHECK(cache.purge_tag("blue") == 2 && cache.purge_tag("red") == 0);
    keys.clear();
    cache.each_key({}, [&](std::string_view key) { keys.emplace(key); });
    CHECK((keys == std::set<std::string>{"image:1", "page:3"}));
}

void what_is_missing_is_loaded() {
    catzilla::cache cache;
    int asked = 0;
    const auto load = [&](std::string_view key) {
        asked++;
        return "the value of " + std::string(key);
    };
    for (int i = 0; i < 2; i++) {
        auto loaded = cache.get_or_load("k", load, 1min);
        CHECK(loaded && loaded->view() == "the value of k" && loaded->remaining_ttl() <= 1min + 20ms);
    }
    CHECK(asked == 1 && cache.get("k") == "the value of k");
    using maybe = std::optional<std::string>;
    CHECK(!cache.get_or_load("absent", [](std::string_view) { return maybe{}; }) && !cache.contains("absent"));
    CHECK(cache.get_or_load("there", [](std::string_view) { return maybe{"x"}; }, catzilla::forever)->view() == "x");
    CHECK(cache.statistics().loads == 3 && cache.statistics().load_failures == 0);
}

void what_a_loader_throws_reaches_its_caller_and_the_others_are_told_that_it_failed() {
    catzilla::cache cache;
    constexpr int others = 3;
    const auto throwing = [&](std::string_view) -> std::string {
        while (cache.statistics().load_waits < others) std::this_thread::yield();
        throw std::out_of_range("the loader's own");
    };
    std::vector<std::string> caught(others + 1);
    std::vector<std::thread> callers;
    for (std::string& what : caught) {
        callers.emplace_back([&cache, &throwing, &what] {
            try {
                cache.get_or_load("k", throwing);
            } catch (const std::out_of_range& own) {
                what = own.what();
            } catch (const catzilla::error& told) {
                what = told.name();
            }
        });
    }
    for (std::thread& caller : callers) caller.join();
    int own = 0;
    for (const std::string& what : caught) {
        own += what == "the loader's own";
        CHECK(what == "the loader's own" || what == "CATZILLA_LOAD_FAILED");
    }
    CHECK(own == 1 && cache.statistics().load_waits == others);
    CHECK(cache.get_or_load("k", [](std::string_view) { return std::string("now"); })->view() == "now");
}

void a_loader_may_not_ask_for_its_own_key() {
    catzilla::cache cache;
    CHECK(thrown_by([&] {
        cache.get_or_load("k", [&](std::string_view key) {
            return cache.get_or_load(key, [](std::string_view) { return std::string(); })->view().size() ? "a" : "b";
        });
    }) == CATZILLA_LOAD_REENTERED);
    CHECK(!cache.contains("k"));
}

void a_listener_is_told_of_what_leaves_and_may_throw_and_take_itself_off() {
    catzilla::cache moved{catzilla::options{}.set("memory.capacity", "2")};
    std::vector<std::pair<std::string, catzilla::cause>> told;
    moved.set_listener([&](const catzilla::departed& departed) {
        CHECK(departed.value() == "value of " + std::string{departed.key()});
        CHECK(departed.value_size() == departed.value().size());
        told.emplace_back(departed.key(), departed.cause());
        throw std::string{"caught"};
    });
    catzilla::cache cache;
    cache.set_listener([](const catzilla::departed&) {});
    cache = std::move(moved);
    cache.put("a", "value of a");
    cache.put("a", "value of a");
    CHECK(cache.remove("a"));
    cache.put("b", "value of b");
    CHECK(cache.purge() == 1);
    CHECK((told == std::vector<std::pair<std::string, catzilla::cause>>{
        {"a", catzilla::cause::replaced}, {"a", catzilla::cause::removed}, {"b", catzilla::cause::purged}}));
    int calls = 0;
    // What a listener owns stays until the call in which it takes itself off has ended.
    cache.set_listener([&cache, &calls, own = std::string(100, 'x')](const catzilla::departed& departed) {
        cache.set_listener({});
        CHECK(own == std::string(100, 'x') && departed.key() == "c");
        calls++;
    });
    cache.put("c", "");
    CHECK(cache.remove("c"));
    cache.put("c", "");
    CHECK(cache.remove("c"));
    CHECK(calls == 1);
}

// A folder that goes with what is in it.
struct temporary_folder {
    std::filesystem::path path;

    temporary_folder() {
        std::string name = (std::filesystem::temp_directory_path() / "catzilla-wrapper-XXXXXX").string();
        CHECK(mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
};

void a_cache_with_a_disk_tells_of_it_and_has_its_values_after_a_restart() {
    using catzilla::tier;
    const temporary_folder folder;
    catzilla::options settings;
    settings.set("disk.path", (folder.path / "disk").string());
    {
        catzilla::cache cache{settings};
        cache.put("k", "v", 1min);
        cache.flush(20s);
        CHECK(cache.acquire("k")->tier() == tier::memory);
        CHECK(cache.tier_statistics(tier::disk)->puts == 1 && cache.tier_statistics(tier::disk)->queued == 0);
        cache.put("queued", "v");
    }
    catzilla::cache cache{settings};
    CHECK(cache.get("queued") == "v");
    const auto found = cache.acquire("k");
    CHECK(found && found->view() == "v" && found->tier() == tier::disk && found->remaining_ttl() <= 1min + 20ms);
    CHECK(cache.tier_statistics(tier::disk)->hits == 2);
    const auto health = cache.health(tier::disk);
    CHECK(health && health->is_up && health->last_error.empty() && !health->at);
    CHECK(cache.health(tier::memory)->is_up && !cache.health(tier::redis));
    CHECK(!cache.tier_statistics(tier::redis) && !cache.tier_statistics(tier::memory));
    CHECK(thrown_by([&] { cache.health(static_cast<tier>(7)); }) == CATZILLA_INVALID_ARGUMENT);
    CHECK(thrown_by([&] { cache.flush(-1ms); }) == CATZILLA_INVALID_ARGUMENT);
    CHECK(thrown_by([&] { catzilla::options{}.set("disk.path", "x").set("redis.timeout", "soon"); }) == CATZILLA_INVALID_OPTION);
}

void a_tier_that_is_down_is_told_and_a_flush_throws() {
    // Nobody listens on port 1 of a machine that is not somebody's museum.
    catzilla::cache cache{catzilla::options{}.set("redis.url", "redis://127.0.0.1:1")};
    const auto before = std::chrono::system_clock::now() - 1s;
    cache.put("k", "v");
    CHECK(cache.get("k") == "v");
    const auto health = cache.health(catzilla::tier::redis);
    CHECK(health && !health->is_up && !health->last_error.empty());
    CHECK(health->at && *health->at >= before && *health->at <= std::chrono::system_clock::now() + 1s);
    CHECK(cache.tier_statistics(catzilla::tier::redis)->errors > 0);
    CHECK(thrown_by([&] { cache.flush(10ms); }) == CATZILLA_TIER_UNAVAILABLE);
}

void two_units_of_one_program_may_include_it() {
    catzilla::cache cache;
    CHECK(stored_by_another_unit(cache, "k") == "from the other unit");
}

const std::pair<const char*, std::function<void()>> tests[] = {
#define TEST(name) {#name, name}
    TEST(ownership_is_move_only),
    TEST(values_come_back_and_misses_are_empty),
    TEST(empty_and_default_made_views_are_keys_and_values),
    TEST(large_values_are_read_whole),
    TEST(a_pinned_value_outlives_entry_and_cache),
    TEST(ttls_are_durations),
    TEST(failures_are_thrown_with_their_code),
    TEST(batches_answer_in_the_order_of_their_keys),
    TEST(a_batch_that_is_refused_in_part_throws_and_stores_the_rest),
    TEST(a_sweep_tells_how_many_went),
    TEST(purge_and_statistics_tell_numbers),
    TEST(a_put_may_have_a_condition),
    TEST(numbers_count_and_lifetimes_are_renewed),
    TEST(entries_go_by_their_tag_and_keys_are_told),
    TEST(what_is_missing_is_loaded),
    TEST(what_a_loader_throws_reaches_its_caller_and_the_others_are_told_that_it_failed),
    TEST(a_loader_may_not_ask_for_its_own_key),
    TEST(a_listener_is_told_of_what_leaves_and_may_throw_and_take_itself_off),
    TEST(a_cache_with_a_disk_tells_of_it_and_has_its_values_after_a_restart),
    TEST(a_tier_that_is_down_is_told_and_a_flush_throws),
    TEST(two_units_of_one_program_may_include_it),
#undef TEST
};

}  // namespace

int main() {
    int failures = 0;
    for (const auto& [name, run] : tests) {
        try {
            run();
            std::cout << "ok      " << name << '\n';
        } catch (const failed_check& check) {
            std::cout << "FAILED  " << name << ": line " << check.line << ": " << check.condition << '\n';
            failures++;
        } catch (const std::exception& unexpected) {
            std::cout << "FAILED  " << name << ": threw " << unexpected.what() << '\n';
            failures++;
        }
    }
    return failures != 0;
}
