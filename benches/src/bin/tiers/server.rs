//! A redis-server for the time of a run: on a free port of 127.0.0.1, its data in a temporary folder, nothing saved.

use crate::cache::Folder;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Server {
    process: Child,
    pub port: u16,
    _folder: Folder,
}

impl Server {
    pub fn start() -> Result<Server, String> {
        let folder = Folder::make();
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(|e| e.to_string())?.port();
        let mut process = Command::new("redis-server")
            .args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("redis-server (Debian package redis-server): {error}"))?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !answers(port) {
            if Instant::now() > deadline || process.try_wait().is_ok_and(|ended| ended.is_some()) {
                let _ = process.kill();
                let _ = process.wait();
                return Err("redis-server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Server { process, port, _folder: folder })
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server is there");
        stream.set_nodelay(true).expect("a socket");
        stream
    }
}

fn answers(port: u16) -> bool {
    let mut answer = [0; 7];
    TcpStream::connect(("127.0.0.1", port))
        .and_then(|mut stream| stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut answer)))
        .is_ok_and(|()| &answer == b"+PONG\r\n")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
