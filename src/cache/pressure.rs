//! Whether memory is short: the limits of the process's control group (cgroup v2) and of those above it, and the kernel's
//! own measure of stalls (PSI). Asked by the sweeper once a second, for caches that want to shrink then.
//!
//! It only reads files below a root that is given, and never decides what is done about the answer.

use std::fs;
use std::path::{Path, PathBuf};

/// A group that uses more than this of its limit is under pressure: from there the kernel reclaims.
const FULL_PERCENT: u64 = 95;

/// So much of the last ten seconds (in hundredths of a percent) did some task wait for memory. Arbitrary within reason:
/// daemons that watch PSI act at 5 to 20 percent.
const STALLED: u64 = 10_00;

/// Reads the system's figures.
pub(super) struct Gauge {
    /// `/`, but in tests.
    root: PathBuf,
}

/// What one look found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Look {
    /// Why memory is short; `None` if it is not, or nobody can say.
    pub(super) pressure: Option<String>,
    /// What could not be read or understood.
    pub(super) trouble: Option<String>,
}

impl Look {
    fn trouble(&mut self, trouble: impl FnOnce() -> String) {
        self.trouble.get_or_insert_with(trouble);
    }
}

impl Gauge {
    /// The system that the process runs on.
    pub(super) fn system() -> Self {
        Self::at("/")
    }

    /// A system whose `/proc` and `/sys` are below `root`.
    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Reads the figures as they are now.
    pub(super) fn look(&self) -> Look {
        let mut look = Look::default();
        let group = self.group();
        let limits = group.as_ref().is_some_and(|group| group.usage(&mut look));
        let stalls = self.stalls(group.as_ref(), &mut look);
        if !limits && !stalls {
            look.trouble(|| {
                "neither the limits of a control group (cgroup v2) nor stalls for memory (PSI) can be read here".into()
            });
        }
        look
    }

    /// The process's control group, if there is a version 2 and it can be seen from here.
    fn group(&self) -> Option<Group> {
        let groups = fs::read_to_string(self.root.join("proc/self/cgroup")).ok()?;
        let mounts = fs::read_to_string(self.root.join("proc/self/mountinfo")).ok()?;
        let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
        let (mounted, point) = mounts.lines().find_map(cgroup2_mount)?;
        let top = self.root.join(point.trim_start_matches('/'));
        // A group outside the part that is mounted (`/../other`) cannot be seen; the topmost one that can is above it.
        let below = Path::new(path).strip_prefix(&mounted).unwrap_or(Path::new(""));
        let visible = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let own = if visible { top.join(below) } else { top.clone() };
        Some(Group { own, top })
    }

    /// Stalls of the group, else of the whole system. False when neither is told.
    fn stalls(&self, group: Option<&Group>, look: &mut Look) -> bool {
        let of_group = group.map(|group| group.own.join("memory.pressure"));
        for file in of_group.into_iter().chain([self.root.join("proc/pressure/memory")]) {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            match some_avg10(&text) {
                Some(stalled) if stalled >= STALLED => {
                    let (whole, hundredths) = (stalled / 100, stalled % 100);
                    look.pressure.get_or_insert_with(|| {
                        format!("tasks waited for memory in {whole}.{hundredths:02}% of the last 10 s")
                    });
                }
                Some(_) => {}
                None => look.trouble(|| format!("{} is not understood: {:?}", file.display(), first_line(&text))),
            }
            return true;
        }
        false
    }
}

/// A control group.
struct Group {
    own: PathBuf,
    /// The highest one that can be seen.
    top: PathBuf,
}

impl Group {
    /// Holds the use of the group, and of each above it, against its limits. False when none of them tells a limit.
    fn usage(&self, look: &mut Look) -> bool {
        let mut told = false;
        for group in self.own.ancestors().take_while(|group| group.starts_with(&self.top)) {
            let Some(limit) = limit_of(group, look) else { continue };
            let Some(used) = number_in(&group.join("memory.current"), look) else { continue };
            told = true;
            let used = used.saturating_sub(idle_file_pages(group));
            // In this order, so that no limit overflows.
            if used > limit / 100 * FULL_PERCENT + limit % 100 * FULL_PERCENT / 100 {
                let name = group.display();
                look.pressure.get_or_insert_with(|| format!("{name} uses {used} of {limit} bytes"));
            }
        }
        told
    }
}

/// The lower of the two limits that a group can have; `u64::MAX` when it has none, `None` when it does not say.
fn limit_of(group: &Path, look: &mut Look) -> Option<u64> {
    let max = number_in(&group.join("memory.max"), look);
    let high = number_in(&group.join("memory.high"), look);
    max.into_iter().chain(high).min()
}

/// Pages of files that nobody has used for a while count as used, but the kernel takes them back at no cost: a process
/// that reads files fills its group with them, and is not short of memory.
fn idle_file_pages(group: &Path) -> u64 {
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let pages = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    pages.and_then(|pages| pages.trim().parse().ok()).unwrap_or(0)
}

/// The number in a file of a control group, `max` being the largest; `None` when there is no such file.
fn number_in(file: &Path, look: &mut Look) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let number = match text.trim() {
        "max" => Some(u64::MAX),
        number => number.parse().ok(),
    };
    if number.is_none() {
        look.trouble(|| format!("{} is not understood: {:?}", file.display(), first_line(&text)));
    }
    number
}

/// From a line of mountinfo: which part of the groups is mounted, and where. `None` for other file systems.
fn cgroup2_mount(line: &str) -> Option<(String, String)> {
    let (mount, system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (mounted, point) = (fields.next()?, fields.next()?);
    system.starts_with("cgroup2 ").then(|| (unescaped(mounted), unescaped(point)))
}

/// The kernel writes blanks and backslashes of paths as three octal digits.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (escaped, plain)| path.replace(escaped, plain))
}

/// The share of the last ten seconds in which some task was stalled, in hundredths of a percent.
fn some_avg10(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let avg10 = some.split(' ').find_map(|field| field.strip_prefix("avg10="))?;
    let (whole, hundredths) = avg10.split_once('.')?;
    if hundredths.len() != 2 {
        return None;
    }
    Some(whole.parse::<u64>().ok()?.checked_mul(100)? + hundredths.parse::<u64>().ok()?)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

// Miri reads no files.
#[cfg(all(test, not(miri)))]
pub(super) mod tests {
    use super::*;

    /// A system in a folder of its own, as a container with a limit of 1,000,000 bytes and nothing in use.
    pub(in crate::cache) struct FakeSystem(PathBuf);

    impl FakeSystem {
        pub(in crate::cache) fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("catzilla-cache-{}-{name}", std::process::id()));
            let system = Self(root);
            system.write("proc/self/cgroup", "0::/\n");
            system.write("proc/self/mountinfo", MOUNTINFO);
            system.write("sys/fs/cgroup/memory.max", "1000000\n");
            system.write("sys/fs/cgroup/memory.high", "max\n");
            system.write("sys/fs/cgroup/memory.current", "0\n");
            system.write("sys/fs/cgroup/memory.stat", "anon 0\nfile 0\ninactive_file 0\nactive_file 0\n");
            system.write("sys/fs/cgroup/memory.pressure", &psi("0.00"));
            system
        }

        /// Replaces a file in one step, as a file of the kernel is never half written.
        pub(in crate::cache) fn write(&self, file: &str, text: &str) {
            let file = self.0.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let new = file.with_extension("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, file).unwrap();
        }

        fn remove(&self, file: &str) {
            fs::remove_file(self.0.join(file)).unwrap();
        }

        pub(in crate::cache) fn gauge(&self) -> Gauge {
            Gauge::at(&self.0)
        }

        fn pressure(&self) -> Option<String> {
            let look = self.gauge().look();
            assert_eq!(look.trouble, None);
            look.pressure
        }
    }

    impl Drop for FakeSystem {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const MOUNTINFO: &str = "\
        22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
        24 22 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:5 - proc proc rw\n\
        29 26 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n";

    pub(in crate::cache) fn psi(avg10: &str) -> String {
        format!(
            "some avg10={avg10} avg60=0.00 avg300=0.00 total=123\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=9\n"
        )
    }

    #[test]
    fn a_group_is_short_of_memory_from_95_percent_of_its_limit() {
        let system = FakeSystem::new("limit");
        system.write("sys/fs/cgroup/memory.current", "950000\n");
        assert_eq!(system.pressure(), None);
        system.write("sys/fs/cgroup/memory.current", "950001\n");
        assert!(system.pressure().is_some_and(|why| why.contains("uses 950001 of 1000000 bytes")));
        system.write("sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(system.pressure(), None);
        system.write("sys/fs/cgroup/memory.high", "999999\n");
        assert!(system.pressure().is_some());
    }

    #[test]
    fn pages_of_files_that_nobody_uses_do_not_count() {
        let system = FakeSystem::new("files");
        system.write("sys/fs/cgroup/memory.current", "1000000\n");
        system.write("sys/fs/cgroup/memory.stat", "anon 500000\ninactive_anon 7\ninactive_file 400000\n");
        assert_eq!(system.pressure(), None);
        system.write("sys/fs/cgroup/memory.stat", "anon 990000\ninactive_anon 990000\ninactive_file 10000\n");
        assert!(system.pressure().is_some());
    }

    #[test]
    fn the_limits_of_the_groups_above_count_too() {
        let system = FakeSystem::new("ancestors");
        system.write("proc/self/cgroup", "4:memory:/v1\n0::/user.slice/app.service\n");
        let app = "sys/fs/cgroup/user.slice/app.service";
        system.write(&format!("{app}/memory.max"), "max\n");
        system.write(&format!("{app}/memory.high"), "max\n");
        system.write(&format!("{app}/memory.current"), "300000\n");
        system.write(&format!("{app}/memory.pressure"), &psi("0.00"));
        // Without the files of the memory controller, as a group may be.
        system.write("sys/fs/cgroup/user.slice/cgroup.procs", "");
        assert_eq!(system.pressure(), None);
        system.write("sys/fs/cgroup/memory.current", "999999\n");
        assert!(system.pressure().is_some_and(|why| why.contains("uses 999999")));
    }

    #[test]
    fn a_container_that_sees_a_part_of_the_groups_finds_its_own() {
        let system = FakeSystem::new("part");
        system.write("sys/fs/cgroup/memory.current", "999999\n");
        for (group, mounted) in [("/docker/abc", "/docker/abc"), ("/../sibling", "/"), ("/", "/docker/abc")] {
            system.write("proc/self/cgroup", &format!("0::{group}\n"));
            let mountinfo = format!("29 26 0:26 {mounted} /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
            system.write("proc/self/mountinfo", &mountinfo);
            assert!(system.pressure().is_some(), "{group} in {mounted}");
        }
        system.write("sys/fs/a group/memory.max", "10\n");
        system.write("sys/fs/a group/memory.current", "10\n");
        system.write("proc/self/mountinfo", "29 26 0:26 / /sys/fs/a\\040group rw - cgroup2 cgroup rw\n");
        assert!(system.pressure().is_some_and(|why| why.contains("uses 10 of 10")));
    }

    #[test]
    fn tasks_that_wait_for_memory_are_pressure_from_10_percent() {
        let system = FakeSystem::new("stalls");
        system.write("sys/fs/cgroup/memory.pressure", &psi("9.99"));
        assert_eq!(system.pressure(), None);
        system.write("sys/fs/cgroup/memory.pressure", &psi("10.00"));
        assert!(system.pressure().is_some_and(|why| why.contains("10.00% of the last 10 s")));
        // The group's own file goes before the system's.
        system.write("sys/fs/cgroup/memory.pressure", &psi("0.00"));
        system.write("proc/pressure/memory", &psi("50.00"));
        assert_eq!(system.pressure(), None);
        system.remove("sys/fs/cgroup/memory.pressure");
        assert!(system.pressure().is_some_and(|why| why.contains("50.00%")));
    }

    #[test]
    fn a_system_without_control_groups_is_judged_by_its_stalls() {
        let system = FakeSystem::new("no-groups");
        system.remove("proc/self/cgroup");
        system.write("sys/fs/cgroup/memory.current", "999999\n");
        system.write("proc/pressure/memory", &psi("0.00"));
        assert_eq!(system.pressure(), None);
        system.write("proc/pressure/memory", &psi("10.01"));
        assert!(system.pressure().is_some());
    }

    #[test]
    fn what_is_missing_or_not_understood_is_no_pressure_but_told() {
        let system = FakeSystem::new("broken");
        system.write("sys/fs/cgroup/memory.current", "plenty\n");
        let look = system.gauge().look();
        assert_eq!(look.pressure, None);
        assert!(look.trouble.is_some_and(|trouble| trouble.contains("memory.current is not understood: \"plenty\"")));

        system.write("sys/fs/cgroup/memory.current", "999999\n");
        for broken in ["", "some avg10=99", "some avg10=1e3.00", "full avg10=99.00 avg60=0.00"] {
            system.write("sys/fs/cgroup/memory.pressure", broken);
            let look = system.gauge().look();
            assert!(look.pressure.is_some_and(|why| why.contains("uses")), "one of the two is enough");
            assert!(look.trouble.is_some_and(|trouble| trouble.contains("memory.pressure")));
        }

        let nothing = Gauge::at(system.0.join("nowhere")).look();
        assert_eq!(nothing.pressure, None);
        assert!(nothing.trouble.is_some_and(|trouble| trouble.contains("neither")));
    }

    /// The real files have the form that is read here, wherever this runs.
    #[test]
    fn the_system_at_hand_is_understood() {
        let trouble = Gauge::system().look().trouble;
        assert!(trouble.as_ref().is_none_or(|trouble| trouble.contains("neither")), "{trouble:?}");
    }
}
