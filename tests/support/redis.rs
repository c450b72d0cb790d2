//! Real Redis servers for tests: one, a cluster, and a proxy that does what a network does. Used by tests of the tier and of the
//! whole stack by `#[path]`. Everything listens on 127.0.0.1, keeps its data in a folder of its own, and ends with its
//! guard.
#![allow(clippy::print_stderr, dead_code, unreachable_pub)]

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take that should happen at once, on a machine that is very busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the programs are there that the tests need. Where they are not, says so, and fails where CI runs.
pub fn is_installed() -> bool {
    are_installed(&["redis-server", "redis-cli"])
}

pub fn are_installed(programs: &[&str]) -> bool {
    let missing = |program: &&&str| {
        let argument = if **program == "openssl" { "version" } else { "--version" };
        !Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
    };
    let Some(program) = programs.iter().find(missing) else { return true };
    assert!(std::env::var_os("CI").is_none(), "{program} is not installed");
    eprintln!("skipped: {program} is not installed");
    false
}

/// Waits until it is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder that goes with its guard.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, SeqCst);
        // Short, because the path of a unix socket has to be.
        let path = std::env::temp_dir().join(format!("catzilla-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port on which nobody listens now. Below the range that the kernel gives to outgoing connections, so that none of
/// those takes it; different in each process and at each call.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(61);
    loop {
        let port = 10_000 + (first.wrapping_add(NEXT.fetch_add(1, SeqCst)) % 10_000) as u16;
        // A cluster's nodes talk to each other on the port 10,000 above.
        if [port, port + 10_000].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
}

pub struct Server {
    process: Option<Child>,
    port: u16,
    folder: Folder,
    arguments: Vec<String>,
    /// What redis-cli needs to get in.
    pub entrance: Vec<String>,
}

impl Server {
    /// Starts one that answers; `arguments` go to redis-server.
    pub fn start(arguments: &[&str]) -> Self {
        let server = Self::launch(arguments);
        server.wait_until_up();
        server
    }

    fn launch(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        let mut server =
            Self { process: None, port: free_port(), folder: Folder::new(), arguments, entrance: Vec::new() };
        server.spawn();
        server
    }

    fn spawn(&mut self) {
        let port = self.port.to_string();
        let process = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no", "--dir"])
            .arg(self.folder.path())
            .arg("--unixsocket")
            .arg(self.socket())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.folder.path().join("log")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    fn wait_until_up(&self) {
        until(&format!("the server on port {} is up: {}", self.port, self.log()), || {
            let answer = self.cli(&["ping"]);
            answer == "PONG" || answer.contains("NOAUTH") || answer.contains("LOADING")
        });
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The path of its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What redis-cli prints for a command, without the last line's end. Binary arguments are as they are.
    pub fn cli<A: AsRef<OsStr>>(&self, command: &[A]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(&self.entrance).args(command).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// What the server answers to a command whose arguments may be any bytes, as it came.
    pub fn raw(&self, command: &[&[u8]]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for argument in command {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"*1\r\n$4\r\nQUIT\r\n");
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer.strip_suffix(b"+OK\r\n").map(<[u8]>::to_vec).unwrap_or(answer)
    }

    /// A number from INFO.
    pub fn info(&self, name: &str) -> u64 {
        let info = self.cli(&["info"]);
        let line = info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {info}"))
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("the server runs").id().to_string();
        let killed = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(killed.success());
    }

    /// SIGSTOP: it holds its connections and answers nothing.
    pub fn stop(&self) {
        self.signal("-STOP");
    }

    pub fn cont(&self) {
        self.signal("-CONT");
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The same on the same port, with nothing in it.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
        self.wait_until_up();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Six servers: three primaries, each with a replica.
pub struct Cluster {
    pub servers: Vec<Server>,
}

impl Cluster {
    pub fn start() -> Self {
        let arguments = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1000",
            "--cluster-replica-validity-factor",
            "0",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let servers: Vec<Server> = (0..6).map(|_| Server::launch(&arguments)).collect();
        servers.iter().for_each(Server::wait_until_up);
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        create.args(servers.iter().map(|server| format!("127.0.0.1:{}", server.port)));
        let output = create.args(["--cluster-replicas", "1", "--cluster-yes"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Self { servers };
        until("the cluster is up", || cluster.is_up(&cluster.alive()));
        until("every replica has its primary's data", || {
            let replicas = |server: &&Server| server.cli(&["info", "replication"]).contains("role:slave");
            let linked = |server: &Server| server.cli(&["info", "replication"]).contains("master_link_status:up");
            let replicas: Vec<&Server> = cluster.servers.iter().filter(replicas).collect();
            replicas.len() == 3 && replicas.into_iter().all(linked)
        });
        cluster
    }

    /// Whether all of these say that every slot is served, and agree on who is there.
    fn is_up(&self, servers: &[&Server]) -> bool {
        servers.iter().all(|server| server.cli(&["cluster", "info"]).contains("cluster_state:ok"))
    }

    fn alive(&self) -> Vec<&Server> {
        self.servers.iter().filter(|server| server.process.is_some()).collect()
    }

    /// For redis.nodes.
    pub fn nodes(&self) -> String {
        let nodes: Vec<String> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        nodes.join(",")
    }

    /// Who serves a key first-hand, as the servers that are alive say.
    pub fn primary_of(&self, key: &str) -> usize {
        let alive = self.alive();
        let slot: u16 = alive[0].cli(&["cluster", "keyslot", key]).parse().unwrap();
        let nodes = alive[0].cli(&["cluster", "nodes"]);
        let serves = |line: &&str| {
            let fields: Vec<&str> = line.split(' ').collect();
            fields[2].contains("master")
                && !fields[2].contains("fail")
                && fields[8..].iter().any(|range| {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    let bounds = (first.parse::<u16>(), last.parse::<u16>());
                    matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&slot))
                })
        };
        let line = nodes.lines().find(serves).unwrap_or_else(|| panic!("nobody serves {key}: {nodes}"));
        let address = line.split(' ').nth(1).unwrap();
        let port: u16 = address.split(['@', ':']).nth(1).unwrap().parse().unwrap();
        self.servers.iter().position(|server| server.port == port).unwrap()
    }

    /// Which it was.
    pub fn kill_primary_of(&mut self, key: &str) -> usize {
        let index = self.primary_of(key);
        self.servers[index].kill();
        index
    }

    /// Waits until those that are alive have noticed who is not, and serve every slot again.
    pub fn wait_until_up(&self) {
        let alive = self.alive();
        until("the cluster is up again", || {
            let lives = |line: &str| alive.iter().any(|server| line.contains(&format!(":{}@", server.port)));
            let counted = |line: &str| line.contains("master") && !line.contains("fail") && lives(line);
            self.is_up(&alive)
                && alive
                    .iter()
                    .all(|server| server.cli(&["cluster", "nodes"]).lines().filter(|line| counted(line)).count() == 3)
        });
    }
}

/// What happens to what passes a proxy.
#[derive(Clone, Default)]
pub struct Weather {
    /// Before each piece that the server sends goes on.
    pub delay: Duration,
    /// At most so many bytes of the server's at a time; 0: as they come.
    pub piece: usize,
    /// This is answered to everything, and the server is not asked. (Once for each piece that a client sends.)
    pub answer: Option<Vec<u8>>,
    /// New connections are closed at once, and those that there are at the next byte.
    pub closes: bool,
    /// Nothing goes on any more, in neither direction.
    pub swallows: bool,
}

/// Stands between a client and a server, and can make what is between them as bad as it gets.
pub struct Proxy {
    address: SocketAddr,
    weather: Arc<Mutex<Weather>>,
    over: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self {
            address,
            weather: Arc::default(),
            over: Arc::default(),
            accepted: Arc::default(),
            streams: Arc::default(),
        };
        let (weather, over, accepted, streams) =
            (proxy.weather.clone(), proxy.over.clone(), proxy.accepted.clone(), proxy.streams.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(SeqCst) {
                    return;
                }
                accepted.fetch_add(1, SeqCst);
                if weather.lock().unwrap().closes {
                    continue;
                }
                let _ = client.set_nodelay(true);
                streams.lock().unwrap().push(client.try_clone().unwrap());
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let _ = server.set_nodelay(true);
                streams.lock().unwrap().push(server.try_clone().unwrap());
                let (to_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let weather_up = weather.clone();
                std::thread::spawn(move || up(client, to_server, &weather_up));
                let weather_down = weather.clone();
                std::thread::spawn(move || down(server, to_client, &weather_down));
            }
        });
        proxy
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    /// Connections that were made.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(SeqCst)
    }

    /// Ends all connections that there are, as a server or a firewall does.
    pub fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        self.cut();
        let _ = TcpStream::connect(self.address);
    }
}

fn up(mut client: TcpStream, mut server: TcpStream, weather: &Mutex<Weather>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(received @ 1..) = client.read(&mut buffer) {
        let now = weather.lock().unwrap().clone();
        if now.closes {
            break;
        }
        let sent = match now.answer {
            _ if now.swallows => Ok(()),
            Some(answer) => client.write_all(&answer),
            None => server.write_all(&buffer[..received]),
        };
        if sent.is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn down(mut server: TcpStream, mut client: TcpStream, weather: &Mutex<Weather>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(received @ 1..) = server.read(&mut buffer) {
        let now = weather.lock().unwrap().clone();
        if now.closes {
            break;
        }
        if now.swallows {
            continue;
        }
        let piece = if now.piece == 0 { received } else { now.piece };
        for piece in buffer[..received].chunks(piece) {
            std::thread::sleep(now.delay);
            if client.write_all(piece).is_err() {
                break;
            }
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// Certificates for TLS, made by openssl: `ca.pem`, and signed by it `server.pem`, `client.pem` with their `.key`; and `other.pem`,
/// which vouches for nobody.
pub fn certificates(folder: &Path) -> io::Result<()> {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder).output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    };
    const KEY: [&str; 6] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-batch"];
    for name in ["ca", "other"] {
        let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
        let request = ["req", "-x509", "-days", "2", "-subj", &subject, "-keyout", &key, "-out", &certificate];
        openssl(&[&request[..], &KEY].concat())?;
    }
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")?;
    for name in ["server", "client"] {
        let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
        let request = ["req", "-subj", &subject, "-keyout", &key, "-out", "request"];
        openssl(&[&request[..], &KEY].concat())?;
        let sign = ["x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        openssl(&[&sign[..], &["-days", "2", "-extfile", "names", "-out", &certificate]].concat())?;
    }
    Ok(())
}
