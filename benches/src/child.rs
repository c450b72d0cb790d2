//! A child process that answers lines with lines. What happens to it (a crash, a hang, a refusal) is a result, not an error:
//! the original engine crashes under two threads, and that must be a row of the table.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::time::Duration;

pub struct Child {
    process: Process,
    /// Closing it is how a child is told to end, also when this process dies.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Child {
    /// Runs this same program with other arguments.
    pub fn start(arguments: &[String]) -> std::io::Result<Child> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take();
        let output = process.stdout.take().expect("stdout is a pipe");
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for text in BufReader::new(output).lines().map_while(Result::ok) {
                if line.send(text).is_err() {
                    break;
                }
            }
        });
        Ok(Child { process, input, lines })
    }

    pub fn say(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            // A child that is gone shows when it is listened to.
            let _ = writeln!(input, "{line}");
        }
    }

    /// The next line, or how the child came to its end.
    pub fn hear(&mut self, patience: Duration) -> Result<String, String> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                self.end();
                Err(format!("hung: no answer for {} s", patience.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.how_it_ended()),
        }
    }

    fn how_it_ended(&mut self) -> String {
        let Ok(status) = self.process.wait() else {
            return "crashed".into();
        };
        match (status.signal(), status.code()) {
            (Some(signal), _) => format!("crashed ({})", signal_name(signal)),
            (None, Some(code)) => format!("ended by itself (exit {code}): {}", self.last_words()),
            (None, None) => "crashed".into(),
        }
    }

    fn last_words(&mut self) -> String {
        let stderr = self.process.stderr.take();
        stderr.and_then(|stderr| BufReader::new(stderr).lines().map_while(Result::ok).last()).unwrap_or_default()
    }

    fn end(&mut self) {
        self.input = None;
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        libc::SIGSEGV => "SIGSEGV".into(),
        libc::SIGABRT => "SIGABRT".into(),
        libc::SIGBUS => "SIGBUS".into(),
        libc::SIGILL => "SIGILL".into(),
        libc::SIGFPE => "SIGFPE".into(),
        libc::SIGKILL => "SIGKILL".into(),
        other => format!("signal {other}"),
    }
}
