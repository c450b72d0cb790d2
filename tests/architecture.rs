//! What the tree promises about itself: imports run one way, unsafe code stays in its rooms, what is generated is fresh.
#![cfg(not(miri))]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below src, with their paths relative to it.
fn sources() -> Vec<(String, String)> {
    fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = root().join("src");
    let mut paths = Vec::new();
    visit(&src, &mut paths);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// Floors of the house, the highest first; files beside the folders are below all of them.
const FLOORS: [&str; 5] = ["ffi", "cache", "tiers", "codec", "options"];

#[test]
fn imports_run_downward_only() {
    let floor_of = |room: &str| FLOORS.iter().position(|floor| *floor == room);
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        if name == "lib.rs" {
            continue;
        }
        let floor = name.split_once('/').map_or(FLOORS.len(), |(room, _)| floor_of(room).expect("a room of the house"));
        // A comment may point anywhere.
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().starts_with("//")) {
            for (at, _) in line.match_indices("crate::") {
                let path = &line[at + 7..];
                let room: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let upward = floor_of(&room).is_some_and(|imported| imported < floor);
                // What lib.rs re-exports comes from all floors, and a group hides which; only ffi may use either.
                let hidden = floor > 0 && (path.starts_with('{') || path.starts_with(char::is_uppercase));
                if upward || hidden {
                    wrong.push(format!("src/{name}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these import upward:\n{}", wrong.join("\n"));
}

/// The only rooms with unsafe code; lib.rs denies it everywhere else.
const UNSAFE_ROOMS: [&str; 19] = [
    "cache/sweeper.rs",
    "clock.rs",
    "ffi/mod.rs",
    "fork.rs",
    "thread.rs",
    "tiers/disk/commits.rs",
    "tiers/disk/finder.rs",
    "tiers/disk/recency.rs",
    "tiers/disk/tests/processes.rs",
    "tiers/disk/user.rs",
    "tiers/memory/arena/mod.rs",
    "tiers/memory/barrier.rs",
    "tiers/memory/entry/mod.rs",
    "tiers/memory/index/mod.rs",
    "tiers/memory/list.rs",
    "tiers/memory/reclaim/mod.rs",
    "tiers/memory/record.rs",
    "tiers/memory/tags/chain.rs",
    "tiers/redis/tests/fork.rs",
];

#[test]
fn unsafe_code_is_allowed_in_its_rooms_only() {
    let mut allowing: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| {
            text.lines()
                .any(|line| line.starts_with("#![allow(unsafe_code") || line.starts_with("    #![allow(unsafe_code"))
        })
        .map(|(name, _)| name)
        .collect();
    allowing.sort();
    assert_eq!(allowing, UNSAFE_ROOMS);
}

#[test]
fn the_committed_header_is_the_one_that_the_sources_make() {
    let made = fs::read_to_string(env!("CATZILLA_CACHE_HEADER")).unwrap();
    let committed = fs::read_to_string(root().join("include/catzilla_cache.h")).unwrap();
    assert!(made == committed, "include/catzilla_cache.h is not what src/ffi says; `make header` makes it anew");
}

/// Writes `text` where it is committed when `CATZILLA_BLESS` is set, else compares.
fn committed(file: &str, text: &str) {
    let path = root().join(file);
    if std::env::var_os("CATZILLA_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{file} is not up to date; `make documents` makes it anew");
}

#[test]
fn the_page_of_options_is_made_from_the_table() {
    let mut page = String::from(
        "# Options\n\nMade from the table in `src/options/table.rs`; `make documents` makes it anew.\n\n\
         Set with `catzilla_options_set(options, name, value)` in C, `Options::set` in Rust, and in Python with\n\
         `BytesCache({name: value})` or `SmartCacheConfig(options={name: value})`.\n\
         Sizes take `B`, `KiB`, `MiB`, `GiB`, `TiB` (1024) or `KB`, `MB`, `GB`, `TB` (1000); times take `ms`, \
         `s`, `m`, `h`, `d`;\nswitches take `on` and `off`. *Live* options can change while a cache runs.\n\n\
         | option | type | default | allowed | live | |\n|---|---|---|---|---|---|\n",
    );
    for option in catzilla_cache::OPTIONS {
        let live = if option.live { "yes" } else { "no" };
        let (kind, range) = (option.type_name(), option.range());
        page.push_str(&format!(
            "| `{}` | {kind} | `{}` | {range} | {live} | {} |\n",
            option.name, option.default, option.help
        ));
    }
    committed("docs/options.md", &page);
}

/// The functions that the sources export are the committed list; the Python tests hold the list against the built library.
#[test]
fn the_exported_functions_are_the_committed_ones() {
    let mut exported: Vec<String> = Vec::new();
    for (name, text) in sources().into_iter().filter(|(name, _)| name.starts_with("ffi/")) {
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line != "#[no_mangle]" {
                continue;
            }
            let function = lines.next().and_then(|line| line.split_once(" fn ")).expect("an exported function").1;
            let function: String = function.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            assert!(
                function.starts_with("catzilla_") || function.starts_with("multi_cache_"),
                "src/{name} exports {function}, whose name could be somebody else's"
            );
            exported.push(function);
        }
    }
    exported.sort();
    for taken in ["catzilla_cache_alloc", "catzilla_cache_free", "catzilla_cache_realloc"] {
        assert!(!exported.iter().any(|name| name == taken), "{taken} belongs to the host program");
    }
    committed("include/exported-symbols.txt", &(exported.join("\n") + "\n"));
}
