//! What is asked of the operating system: clocks, memory, processes, signals.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Now, by the exact monotonic clock, in nanoseconds.
pub fn now() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC)
}

/// Now, by the coarse clock that the library goes by: it may lag behind the exact one by as much as the machine is slow, so
/// who wants to say that an entry was returned too late has to ask this one.
pub fn coarse_now() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC_COARSE)
}

fn read_clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that the call may write.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Resident bytes of this process.
pub fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    // SAFETY: takes a number, returns one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages * page)
}

pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count())
}

/// One heap for all threads. glibc's many keep tens of MiB, each run others, in which a leak could hide (measured: 6 MiB are
/// left after each round with one heap, 50 to 140 and more each time with many).
pub fn one_heap() {
    // SAFETY: takes two numbers, and no other thread runs yet.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

/// Gives what the system's allocator keeps for later back now.
pub fn trim() {
    // SAFETY: takes a number.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Runs `child` in a forked process that exits with what it returns, within a minute. How it ended, in words; `None` if well.
pub fn fork(child: impl FnOnce() -> i32) -> Option<String> {
    // SAFETY: the child uses nothing that another thread may have held but the library, which promises to work there, and
    // the allocator, which the C library prepares; it leaves without running anything else.
    match unsafe { libc::fork() } {
        -1 => Some(format!("cannot fork: {}", std::io::Error::last_os_error())),
        0 => {
            // SAFETY: a child that hangs is ended by its alarm; `_exit` takes a number.
            unsafe {
                libc::signal(libc::SIGALRM, libc::SIG_DFL);
                libc::alarm(60);
                libc::_exit(child())
            }
        }
        process => wait(process),
    }
}

/// `WNOHANG` and a deadline of twice the alarm: a child that cannot even take its alarm is killed.
fn wait(process: libc::pid_t) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let mut status = 0;
        // SAFETY: a child of this process, and a place for its status.
        if unsafe { libc::waitpid(process, &mut status, libc::WNOHANG) } == process {
            return match status {
                0 => None,
                _ if libc::WIFSIGNALED(status) => Some(format!("ended by signal {}", libc::WTERMSIG(status))),
                _ => Some(format!("exit code {}", libc::WEXITSTATUS(status))),
            };
        }
        if Instant::now() > deadline {
            // SAFETY: a child of this process that has not been waited for.
            unsafe { libc::kill(process, libc::SIGKILL) };
            return Some("it hangs".to_owned());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Writes to standard error and ends the process, whatever other threads are in the middle of, also in a forked child.
pub fn die(message: &str) -> ! {
    write_error(message.as_bytes());
    // SAFETY: takes a number. Not `exit`, which would run what may need locks of other threads.
    unsafe { libc::_exit(1) }
}

fn write_error(bytes: &[u8]) {
    // SAFETY: the bytes are there; what cannot be written is lost.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

/// Where the last words of a crashing process are, once they are known: a leaked string.
static WORDS: AtomicUsize = AtomicUsize::new(0);
static WORDS_LEN: AtomicUsize = AtomicUsize::new(0);

/// What is said when a signal ends the process. A crash has no other way to tell the seed.
pub fn say_when_crashing(words: String) {
    let words: &'static str = words.leak();
    WORDS_LEN.store(0, Ordering::SeqCst);
    WORDS.store(words.as_ptr() as usize, Ordering::SeqCst);
    WORDS_LEN.store(words.len(), Ordering::SeqCst);
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT] {
        // SAFETY: the handler only does what a handler may.
        unsafe { libc::signal(signal, crashed as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    }
}

extern "C" fn crashed(signal: libc::c_int) {
    let (words, len) = (WORDS.load(Ordering::SeqCst), WORDS_LEN.load(Ordering::SeqCst));
    // SAFETY: set together, in this order, to a string that is never freed. Calls that are safe in a handler only; the
    // default action of the signal follows.
    unsafe {
        libc::write(libc::STDERR_FILENO, words as *const libc::c_void, len);
        crate::blackbox::write_lanes(write_error);
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}
