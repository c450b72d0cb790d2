//! A stream of bytes to a server, by TCP, by a unix socket or by TLS, on which no call lasts longer than a deadline says. Made
//! and used by a connection; knows nothing of the protocol on it.
//!
//! A socket's own timeout is one for each call of the kernel, so a server that sends a byte now and then would hold a
//! reader for ever. Here each call gets what is left of the time, and costs a further system call only where that differs from
//! what the socket was told last.

use super::address::Place;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection on which nothing happens is looked at by the kernel after this time, and then as often: a server that is gone
/// without a word is noticed, and what stands in between (NAT, firewalls) does not forget the connection. As Redis does on its side (`tcp-keepalive 300`
/// sends as often at first, then every 100 s); shorter, because many gateways forget after 350 s or less.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The least that a socket can be told to wait.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// So much is sent without waiting on a connection on which everything before was answered: the smallest buffer for sending
/// that Linux starts with is 16 KiB, of which half is for its books.
const NEVER_BLOCKS: usize = 4 << 10;

pub(super) enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Stream {
    /// Connects by TCP to the first address that answers.
    pub(super) fn tcp(addresses: &[SocketAddr], deadline: Instant) -> io::Result<Self> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for (index, address) in addresses.iter().enumerate() {
            // None takes the time of those behind it.
            let share = remaining(deadline)? / (addresses.len() - index) as u32;
            match connect(Domain::for_address(*address), &SockAddr::from(*address), share) {
                Ok(socket) => {
                    socket.set_tcp_nodelay(true)?;
                    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
                    return Ok(Self::Plain(Timed::new(socket, deadline)));
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    pub(super) fn unix(path: &Path, deadline: Instant) -> io::Result<Self> {
        let socket = connect(Domain::UNIX, &SockAddr::unix(path)?, remaining(deadline)?)?;
        Ok(Self::Plain(Timed::new(socket, deadline)))
    }

    /// Goes on by TLS, once the server has proved who it is.
    pub(super) fn secured(self, config: &Arc<ClientConfig>, place: &Place) -> io::Result<Self> {
        let Self::Plain(mut socket) = self else { return Ok(self) };
        let name = ServerName::try_from(place.host().to_owned()).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(session, socket))))
    }

    /// From now on no call lasts beyond the deadline. Of so many bytes, `sent` went before and at the same time, and the others are about
    /// to be sent.
    pub(super) fn begin(&mut self, now: Instant, deadline: Instant, sent: usize, bytes: usize) {
        let socket = self.socket_mut();
        socket.deadline = deadline;
        let left = deadline.saturating_duration_since(now);
        let left = (!left.is_zero()).then_some(left);
        socket.first_send = left.filter(|_| sent <= NEVER_BLOCKS);
        socket.first_receive = left.filter(|_| sent == 0 && bytes <= NEVER_BLOCKS);
    }

    /// Whether something has come that nobody asked for: the end, most likely. Waits for nothing.
    pub(super) fn has_something(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let socket = &self.socket().socket;
        match socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Has the kernel throw away at the end what it has not been able to send.
    pub(super) fn forget_unsent(&self) {
        // Where it cannot, it sends it, as it may have done already.
        let _ = self.socket().socket.set_linger(Some(Duration::ZERO));
    }

    fn socket(&self) -> &Timed {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    fn socket_mut(&mut self) -> &mut Timed {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

fn connect(domain: Domain, address: &SockAddr, patience: Duration) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.connect_timeout(address, patience.max(LEAST_WAIT))?;
    Ok(socket)
}

/// What is left until then, if anything.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// A socket that waits until a moment, not for a time.
pub(super) struct Timed {
    socket: Socket,
    deadline: Instant,
    /// What the socket was told last; zero: nothing yet.
    receives_for: Duration,
    sends_for: Duration,
    /// What is left for the next call of each kind, where that is known without a look at the clock.
    first_send: Option<Duration>,
    first_receive: Option<Duration>,
}

impl Timed {
    fn new(socket: Socket, deadline: Instant) -> Self {
        let (receives_for, sends_for) = (Duration::ZERO, Duration::ZERO);
        Self { socket, deadline, receives_for, sends_for, first_send: None, first_receive: None }
    }
}

/// Whether a call that is told to wait for `told` may be made with so much time left: at most a sixteenth too long, which no
/// caller can tell from a thread that was scheduled late. (One that waits too short is made again.)
fn is_near(told: Duration, left: Duration) -> bool {
    told >= left / 2 && told <= left + left / 16
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = match self.first_receive.take() {
                Some(left) => left,
                None => remaining(self.deadline)?,
            };
            if !is_near(self.receives_for, left) {
                self.receives_for = left.max(LEAST_WAIT);
                self.socket.set_read_timeout(Some(self.receives_for))?;
            }
            match (&self.socket).read(into) {
                Err(error) if is_in_between(&error) => {}
                done => return done,
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let left = match self.first_send.take() {
                Some(left) => left,
                None => remaining(self.deadline)?,
            };
            if !is_near(self.sends_for, left) {
                self.sends_for = left.max(LEAST_WAIT);
                self.socket.set_write_timeout(Some(self.sends_for))?;
            }
            // Without the flag a server that is gone would end a program that does not ignore SIGPIPE.
            match self.socket.send_with_flags(bytes, libc::MSG_NOSIGNAL) {
                Err(error) if is_in_between(&error) => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A signal, or a wait that was over before the time was.
fn is_in_between(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
