// catzilla_cache.hpp: the C interface with C++ ownership. Header only, C++17; nothing here is compiled into the library.
//
//     catzilla::cache cache{catzilla::options{}.set("memory.capacity", "50000")};
//     cache.put("greeting", "hello", std::chrono::seconds{30});
//     if (auto greeting = cache.get("greeting")) std::cout << *greeting << '\n';
//
// 1. A miss is an empty std::optional or false; everything else that can go wrong is thrown as catzilla::error.
// 2. Keys and values are bytes: std::string_view, zeros inside are fine.
// 3. cache and value may be used from any thread; options belongs to one thread at a time.
// 4. A value outlives its entry and even its cache. References into it end with it.
// 5. A moved-from object may only be destroyed or assigned to.
#ifndef CATZILLA_CACHE_HPP
#define CATZILLA_CACHE_HPP

#include "catzilla_cache.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace catzilla {

/// A TTL: `default_ttl` is the cache's own default, `forever` never expires.
using ttl = std::chrono::milliseconds;
inline constexpr ttl default_ttl{0};
inline constexpr ttl forever = ttl::max();

/// A failure (never a miss). `what()` is the library's message, `code()` one of the negative CATZILLA_ numbers.
class error : public std::runtime_error {
public:
    explicit error(catzilla_status_t code) : error(code, catzilla_last_error_message()) {}
    error(catzilla_status_t code, const std::string& message) : std::runtime_error(message), code_(code) {}

    catzilla_status_t code() const noexcept { return code_; }
    const char* name() const noexcept { return catzilla_status_name(code_); }

private:
    catzilla_status_t code_;
};

namespace detail {

template <auto Destroy>
struct deleter {
    template <class Handle>
    void operator()(Handle* handle) const noexcept { Destroy(handle); }
};

/// True for CATZILLA_OK, false for an expected outcome; throws for a failure.
inline bool succeeded(catzilla_status_t status) {
    if (status < 0) throw error(status);
    return status == CATZILLA_OK;
}

inline std::uint64_t milliseconds(ttl lifetime) {
    if (lifetime == forever) return CATZILLA_TTL_FOREVER;
    if (lifetime.count() < 0) throw error(CATZILLA_INVALID_ARGUMENT, "a TTL cannot be negative");
    return static_cast<std::uint64_t>(lifetime.count());
}

/// A loader on its way through C, which no exception may pass.
template <class Load>
struct loading {
    Load& load;
    std::uint64_t ttl_ms;
    std::exception_ptr thrown = nullptr;

    static catzilla_status_t run(
        void* user, const void* key, std::size_t key_size, catzilla_loaded_t* loaded) noexcept {
        auto& self = *static_cast<loading*>(user);
        try {
            const auto bytes = self.load(std::string_view{static_cast<const char*>(key), key_size});
            if constexpr (std::is_convertible_v<decltype(bytes), std::string_view>) {
                return self.give(loaded, bytes);
            } else {
                return bytes ? self.give(loaded, *bytes) : CATZILLA_NOT_FOUND;
            }
        } catch (...) {
            self.thrown = std::current_exception();
            return CATZILLA_LOAD_FAILED;
        }
    }

    catzilla_status_t give(catzilla_loaded_t* loaded, std::string_view bytes) const {
        return catzilla_loaded_set(loaded, bytes.data(), bytes.size(), ttl_ms);
    }
};

}  // namespace detail

/// Options by name, as docs/options.md lists them. `set` can be chained.
class options {
public:
    options() : handle_(catzilla_options_create()) {
        if (!handle_) throw error(catzilla_last_error_code());
    }

    options& set(const std::string& name, const std::string& value) & {
        detail::succeeded(catzilla_options_set(handle_.get(), name.c_str(), value.c_str()));
        return *this;
    }
    options&& set(const std::string& name, const std::string& value) && {
        set(name, value);
        return std::move(*this);
    }

    const catzilla_options_t* handle() const noexcept { return handle_.get(); }

private:
    std::unique_ptr<catzilla_options_t, detail::deleter<catzilla_options_destroy>> handle_;
};

/// The tiers that a cache can have.
enum class tier : std::int32_t {
    memory = CATZILLA_TIER_MEMORY,
    redis = CATZILLA_TIER_REDIS,
    disk = CATZILLA_TIER_DISK,
};

/// How a tier is doing.
struct tier_health {
    /// False: it is left alone because it has failed, and tried again by itself.
    bool is_up;
    /// What it failed with last, and when; empty: with nothing yet.
    std::string last_error;
    std::optional<std::chrono::system_clock::time_point> at;
};

/// A pinned value: no copy, and it stays as it is whatever happens to the entry or the cache. Move-only.
class value {
public:
    /// Takes over what catzilla_cache_acquire gave.
    explicit value(catzilla_value_t* handle) noexcept : handle_(handle) {}

    const char* data() const noexcept { return static_cast<const char*>(catzilla_value_data(handle_.get())); }
    std::size_t size() const noexcept { return catzilla_value_size(handle_.get()); }
    std::string_view view() const noexcept { return {data(), size()}; }
    operator std::string_view() const noexcept { return view(); }

    /// What is left of its life; `forever` when it does not expire.
    ttl remaining_ttl() const noexcept {
        const std::uint64_t left = catzilla_value_ttl_ms(handle_.get());
        if (left >= static_cast<std::uint64_t>(forever.count())) return forever;
        return ttl{static_cast<ttl::rep>(left)};
    }

    /// Which version of its key it is, for `put_options::expected_version`; 0 when it is not in the cache any more.
    std::uint64_t version() const noexcept { return catzilla_value_version(handle_.get()); }

    /// The tier that it was found in.
    catzilla::tier tier() const noexcept { return static_cast<catzilla::tier>(catzilla_value_tier(handle_.get())); }

private:
    std::unique_ptr<catzilla_value_t, detail::deleter<catzilla_value_release>> handle_;
};

/// What has to be so that `put_with` stores.
enum class when : std::uint32_t {
    always = 0,
    absent = CATZILLA_PUT_IF_ABSENT,
    present = CATZILLA_PUT_IF_PRESENT,
};

/// The lowest tier that a value is put to; what those below it have of the key is removed.
enum class lowest : std::uint32_t { memory = CATZILLA_PUT_MEMORY_ONLY, redis = CATZILLA_PUT_NOT_TO_DISK, disk = 0 };

/// How `put_with` stores. The views have to live until it returns.
struct put_options {
    ttl lifetime = default_ttl;
    when condition = when::always;
    /// Store only over this version; 0: over any.
    std::uint64_t expected_version = 0;
    /// What the entry can be purged by.
    std::vector<std::string_view> tags = {};
    lowest tier = lowest::disk;
    /// Keep the value as it is, though compression is on.
    bool uncompressed = false;
};

/// What `put_many` stores. The views have to live until it returns.
struct item {
    std::string_view key;
    std::string_view bytes;
    ttl lifetime = default_ttl;
};

/// Why an entry has left a cache.
enum class cause : std::int32_t {
    evicted = CATZILLA_CAUSE_EVICTED,
    expired = CATZILLA_CAUSE_EXPIRED,
    replaced = CATZILLA_CAUSE_REPLACED,
    removed = CATZILLA_CAUSE_REMOVED,
    purged = CATZILLA_CAUSE_PURGED,
};

/// An entry that has left a cache; good until the listener returns.
class departed {
public:
    explicit departed(const catzilla_departed_t* handle) noexcept : handle_(handle) {}

    std::string_view key() const noexcept {
        return {static_cast<const char*>(catzilla_departed_key(handle_)), catzilla_departed_key_size(handle_)};
    }
    /// Decompresses a value that is kept compressed; throws when there is no memory for that.
    std::string_view value() const {
        const void* bytes = catzilla_departed_value(handle_);
        if (!bytes) throw error(catzilla_last_error_code());
        return {static_cast<const char*>(bytes), value_size()};
    }
    std::size_t value_size() const noexcept { return catzilla_departed_value_size(handle_); }
    catzilla::cause cause() const noexcept { return static_cast<catzilla::cause>(catzilla_departed_cause(handle_)); }

private:
    const catzilla_departed_t* handle_;
};

/// Is told of entries that leave; from any thread, perhaps from several at once. What it throws is caught and forgotten.
using listener = std::function<void(const departed&)>;

namespace detail {

/// The listener of a cache. Stays where it is for as long as the cache is open, so that a listener can take itself off.
class listening {
public:
    void set(listener next) {
        auto shared = next ? std::make_shared<listener>(std::move(next)) : nullptr;
        const std::lock_guard<std::mutex> lock(mutex_);
        // The former one goes with the last call that is in it.
        current_.swap(shared);
    }

    static void told(void* self, const catzilla_departed_t* handle) noexcept {
        try {
            if (const auto current = static_cast<listening*>(self)->get()) (*current)(departed{handle});
        } catch (...) {
        }
    }

private:
    std::shared_ptr<listener> get() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return current_;
    }

    std::mutex mutex_;
    std::shared_ptr<listener> current_;
};

}  // namespace detail

class cache {
public:
    /// A cache with every option at its default.
    cache() : cache(nullptr) {}
    explicit cache(const options& settings) : cache(settings.handle()) {}

    cache(cache&&) noexcept = default;
    /// Ends the cache that was here.
    cache& operator=(cache&& other) noexcept {
        // The handle first: until it is gone its listener may be called.
        handle_ = std::move(other.handle_);
        listening_ = std::move(other.listening_);
        return *this;
    }

    /// Changes an option that can change while a cache runs.
    void set_option(const std::string& name, const std::string& value) {
        detail::succeeded(catzilla_cache_set_option(handle_.get(), name.c_str(), value.c_str()));
    }

    void put(std::string_view key, std::string_view bytes, ttl lifetime = default_ttl) {
        detail::succeeded(catzilla_cache_put(
            handle_.get(), key.data(), key.size(), bytes.data(), bytes.size(), detail::milliseconds(lifetime)));
    }

    /// Stores if what is there allows it; false when it does not. `version` is told the new value's version.
    bool put_with(std::string_view key, std::string_view bytes, const put_options& how, std::uint64_t* version = nullptr) {
        std::vector<catzilla_bytes_t> tags;
        tags.reserve(how.tags.size());
        for (std::string_view tag : how.tags) tags.push_back({tag.data(), tag.size()});
        catzilla_put_options_t options{};
        options.struct_size = sizeof options;
        options.ttl_ms = detail::milliseconds(how.lifetime);
        options.expected_version = how.expected_version;
        options.flags = static_cast<std::uint32_t>(how.condition) | static_cast<std::uint32_t>(how.tier) |
                        (how.uncompressed ? CATZILLA_PUT_UNCOMPRESSED : 0u);
        options.tags = tags.data();
        options.tag_count = tags.size();
        return detail::succeeded(catzilla_cache_put_with(
            handle_.get(), key.data(), key.size(), bytes.data(), bytes.size(), &options, version));
    }

    /// A new lifetime from now on; false when there is no such key.
    bool touch(std::string_view key, ttl lifetime = default_ttl) {
        return detail::succeeded(
            catzilla_cache_touch(handle_.get(), key.data(), key.size(), detail::milliseconds(lifetime)));
    }

    /// Adds to the decimal number that the key has as its value, or stores `initial` where there is none; returns the sum.
    std::int64_t increment(
        std::string_view key, std::int64_t delta = 1, std::int64_t initial = 1, ttl lifetime = default_ttl) {
        std::int64_t sum = 0;
        detail::succeeded(catzilla_cache_increment(
            handle_.get(), key.data(), key.size(), delta, initial, detail::milliseconds(lifetime), &sum));
        return sum;
    }

    /// A copy of the value. For large values that are only looked at, `acquire` spares the copy.
    std::optional<std::string> get(std::string_view key) const {
        // Arbitrary: small values then need one call, larger ones a second that is told the size.
        std::string bytes(256, '\0');
        for (;;) {
            std::size_t size = 0;
            const catzilla_status_t status =
                catzilla_cache_read(handle_.get(), key.data(), key.size(), bytes.data(), bytes.size(), &size);
            if (status == CATZILLA_NOT_FOUND) return std::nullopt;
            detail::succeeded(status);
            bytes.resize(size);
            if (status == CATZILLA_OK) return bytes;
        }
    }

    std::optional<value> acquire(std::string_view key) const {
        catzilla_value_t* pinned = nullptr;
        if (!detail::succeeded(catzilla_cache_acquire(handle_.get(), key.data(), key.size(), &pinned))) {
            return std::nullopt;
        }
        return value{pinned};
    }

    /// The value, which `load(key)` loads if it is not there: a string, or an optional of one, which is empty when there is
    /// none. Of many callers who miss a key at the same time one runs its loader, the others wait for that, each for at most
    /// `timeout`, and get what it gets. What the loader throws is thrown to the caller who ran it; those who waited get an
    /// `error` with CATZILLA_LOAD_FAILED. See `catzilla_cache_get_or_load`.
    template <class Load>
    std::optional<value> get_or_load(
        std::string_view key, Load&& load, ttl lifetime = default_ttl, std::chrono::milliseconds timeout = forever) {
        using loading = detail::loading<std::remove_reference_t<Load>>;
        loading running{load, detail::milliseconds(lifetime)};
        catzilla_value_t* pinned = nullptr;
        const catzilla_status_t status = catzilla_cache_get_or_load(
            handle_.get(), key.data(), key.size(), loading::run, &running, detail::milliseconds(timeout), &pinned);
        if (running.thrown) std::rethrow_exception(running.thrown);
        if (!detail::succeeded(status)) return std::nullopt;
        return value{pinned};
    }

    /// False when there was no such key.
    bool remove(std::string_view key) {
        return detail::succeeded(catzilla_cache_remove(handle_.get(), key.data(), key.size()));
    }

    bool contains(std::string_view key) const {
        return detail::succeeded(catzilla_cache_contains(handle_.get(), key.data(), key.size()));
    }

    /// Copies of many values in one call, in the order of their keys; a miss is an empty optional.
    std::vector<std::optional<std::string>> get_many(const std::vector<std::string_view>& keys) const {
        std::vector<std::optional<std::string>> found(keys.size());
        std::vector<catzilla_get_t> gets;
        std::vector<std::size_t> asked;
        gets.reserve(keys.size());
        asked.reserve(keys.size());
        for (std::size_t at = 0; at < keys.size(); at++) {
            // As in `get`.
            std::string& bytes = found[at].emplace(256, '\0');
            gets.push_back({keys[at].data(), keys[at].size(), bytes.data(), bytes.size(), 0, CATZILLA_OK});
            asked.push_back(at);
        }
        while (!gets.empty()) {
            detail::succeeded(catzilla_cache_get_many(handle_.get(), gets.data(), gets.size()));
            std::size_t again = 0;
            for (std::size_t i = 0; i < gets.size(); i++) {
                catzilla_get_t& get = gets[i];
                std::optional<std::string>& place = found[asked[i]];
                if (get.status == CATZILLA_NOT_FOUND) {
                    place.reset();
                    continue;
                }
                place->resize(get.value_len);
                if (get.status == CATZILLA_OK) continue;
                get.buffer = place->data();
                get.capacity = place->size();
                asked[again] = asked[i];
                gets[again++] = get;
            }
            gets.resize(again);
        }
        return found;
    }

    /// Stores many values in one call, in their order. When some are refused, the others are stored all the same and the
    /// first refusal is thrown.
    void put_many(const std::vector<item>& items) {
        std::vector<catzilla_put_t> puts;
        puts.reserve(items.size());
        for (const item& one : items) {
            puts.push_back({one.key.data(), one.key.size(), one.bytes.data(), one.bytes.size(),
                detail::milliseconds(one.lifetime), CATZILLA_OK});
        }
        detail::succeeded(catzilla_cache_put_many(handle_.get(), puts.data(), puts.size()));
    }

    /// Removes many keys in one call; returns how many were there.
    std::size_t remove_many(const std::vector<std::string_view>& keys) {
        std::vector<catzilla_remove_t> removes;
        removes.reserve(keys.size());
        for (std::string_view key : keys) removes.push_back({key.data(), key.size(), CATZILLA_OK});
        detail::succeeded(catzilla_cache_remove_many(handle_.get(), removes.data(), removes.size()));
        std::size_t removed = 0;
        for (const catzilla_remove_t& remove : removes) removed += remove.status == CATZILLA_OK;
        return removed;
    }

    /// Frees what has expired, now; returns how many entries went.
    std::size_t sweep() {
        std::size_t swept = 0;
        detail::succeeded(catzilla_cache_sweep(handle_.get(), &swept));
        return swept;
    }

    /// Removes everything; returns how many entries went.
    std::uint64_t purge() {
        std::uint64_t removed = 0;
        detail::succeeded(catzilla_cache_purge(handle_.get(), CATZILLA_PURGE_ALL, nullptr, 0, &removed));
        return removed;
    }

    std::uint64_t purge_prefix(std::string_view prefix) {
        std::uint64_t removed = 0;
        detail::succeeded(catzilla_cache_purge(
            handle_.get(), CATZILLA_PURGE_PREFIX, prefix.data(), prefix.size(), &removed));
        return removed;
    }

    /// `*` stands for any bytes, `?` for one, `\` takes the next as it is.
    std::uint64_t purge_pattern(std::string_view pattern) {
        std::uint64_t removed = 0;
        detail::succeeded(catzilla_cache_purge(
            handle_.get(), CATZILLA_PURGE_PATTERN, pattern.data(), pattern.size(), &removed));
        return removed;
    }

    std::uint64_t purge_tag(std::string_view tag) {
        std::uint64_t removed = 0;
        detail::succeeded(catzilla_cache_purge(handle_.get(), CATZILLA_PURGE_TAG, tag.data(), tag.size(), &removed));
        return removed;
    }

    /// Calls `visit` with each key that begins with `prefix`; the view is good until `visit` returns, which may change the
    /// cache. See `catzilla_iterator_open` for what is told when others do so meanwhile.
    template <typename Visit>
    void each_key(std::string_view prefix, Visit visit) const {
        catzilla_iterator_t* opened = nullptr;
        detail::succeeded(catzilla_iterator_open(handle_.get(), prefix.data(), prefix.size(), &opened));
        const std::unique_ptr<catzilla_iterator_t, detail::deleter<catzilla_iterator_close>> keys(opened);
        const void* key = nullptr;
        std::size_t size = 0;
        while (detail::succeeded(catzilla_iterator_next(keys.get(), &key, &size))) {
            visit(std::string_view{static_cast<const char*>(key), size});
        }
    }

    /// Has `next` told of every entry that leaves; an empty one: nobody. When this returns, no call of the former is under way,
    /// unless this was called by it: see `catzilla_cache_set_listener`.
    void set_listener(listener next) {
        const bool listens = static_cast<bool>(next);
        if (!listening_) listening_ = std::make_unique<detail::listening>();
        listening_->set(std::move(next));
        detail::succeeded(catzilla_cache_set_listener(
            handle_.get(), listens ? detail::listening::told : nullptr, listening_.get()));
    }

    catzilla_statistics_t statistics() const {
        catzilla_statistics_t numbers{};
        numbers.struct_size = sizeof numbers;
        detail::succeeded(catzilla_cache_statistics(handle_.get(), &numbers));
        return numbers;
    }

    /// Waits until everything that was put or removed before is in the tiers below memory, for at most `timeout` a tier; throws
    /// CATZILLA_TIER_UNAVAILABLE when one could not take it all. What waits still does then.
    void flush(std::chrono::milliseconds timeout = forever) {
        detail::succeeded(catzilla_cache_flush(handle_.get(), detail::milliseconds(timeout)));
    }

    /// How a tier is doing; empty when the cache has none of that name.
    std::optional<tier_health> health(tier which) const {
        catzilla_health_t told{};
        told.struct_size = sizeof told;
        if (!detail::succeeded(catzilla_cache_health(handle_.get(), static_cast<catzilla_tier_t>(which), &told))) {
            return std::nullopt;
        }
        tier_health health{told.is_up != 0, told.last_error, std::nullopt};
        if (told.last_error_at != 0) {
            const std::chrono::microseconds since_epoch{told.last_error_at};
            health.at.emplace(std::chrono::duration_cast<std::chrono::system_clock::duration>(since_epoch));
        }
        return health;
    }

    /// The figures of a tier below memory; empty when the cache has none of that name.
    std::optional<catzilla_tier_statistics_t> tier_statistics(tier which) const {
        catzilla_tier_statistics_t numbers{};
        numbers.struct_size = sizeof numbers;
        const auto number = static_cast<catzilla_tier_t>(which);
        if (!detail::succeeded(catzilla_cache_tier_statistics(handle_.get(), number, &numbers))) return std::nullopt;
        return numbers;
    }

    /// For calls that this wrapper does not have. Still owned by this object.
    catzilla_cache_t* handle() const noexcept { return handle_.get(); }

private:
    explicit cache(const catzilla_options_t* settings) {
        catzilla_cache_t* opened = nullptr;
        detail::succeeded(catzilla_cache_open(settings, &opened));
        handle_.reset(opened);
    }

    // Before the handle: destroying that may wait for a call of the listener.
    std::unique_ptr<detail::listening> listening_;
    std::unique_ptr<catzilla_cache_t, detail::deleter<catzilla_cache_destroy>> handle_;
};

}  // namespace catzilla

#endif  // CATZILLA_CACHE_HPP
