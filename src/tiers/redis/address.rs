//! Where Redis is and how it is entered, as the options say. Read once, when the tier is opened; what can never work is
//! refused here. Makes no connection.

use super::tls;
use crate::error::{Error, Result, Status};
use crate::log;
use crate::options::RedisOptions;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use rustls::ClientConfig;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const SCHEMES: [&str; 7] = ["redis", "rediss", "redis+unix", "unix", "valkey", "valkeys", "valkey+unix"];

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Place {
    /// The name that a certificate has to show.
    pub(super) fn host(&self) -> &str {
        match self {
            Place::Tcp(host, _) => host,
            Place::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Tcp(host, port) => write!(f, "{host}:{port}"),
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How every server is entered and used.
pub(super) struct Access {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Whether replicas are asked too.
    pub(super) replicas: bool,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    /// To one server.
    pub(super) max_connections: usize,
}

/// Who is asked.
#[derive(Debug, PartialEq)]
pub(super) enum Target {
    Server(Place),
    /// Some of a cluster's.
    Nodes(Vec<Place>),
}

/// What one URL says.
#[derive(Clone, PartialEq)]
struct Entrance {
    user: Option<String>,
    password: Option<String>,
    database: i64,
    secure: bool,
}

pub(super) fn read(options: &RedisOptions) -> Result<(Target, Access)> {
    if options.key_prefix.is_empty() {
        return Err(invalid("redis.key_prefix", "is empty; all keys of the database would count as ours"));
    }
    let (target, entrance) = match (&options.url, &options.nodes) {
        (Some(url), None) => {
            let (place, entrance) = url_of("redis.url", &url.0)?;
            if options.read_from_replicas {
                log::warn(|| {
                    "redis.read_from_replicas has no effect: it is for a cluster, and redis.url names one server".into()
                });
            }
            (Target::Server(place), entrance)
        }
        (None, Some(nodes)) => nodes_of(&nodes.0)?,
        (Some(_), Some(_)) => {
            return Err(invalid(
                "redis.url",
                "and `redis.nodes` are both given; give one server or the nodes of a cluster",
            ));
        }
        (None, None) => return Err(invalid("redis.url", "and `redis.nodes` are both missing; give one of them")),
    };
    let files = [&options.ca_file, &options.certificate_file, &options.key_file];
    let tls = match entrance.secure {
        true => Some(tls::config(options)?),
        false if files.iter().any(|file| file.is_some()) => {
            return Err(invalid(
                "redis.ca_file",
                "`redis.certificate_file` and `redis.key_file` are for TLS; give a URL that begins with rediss://",
            ));
        }
        false => None,
    };
    let access = Access {
        user: entrance.user,
        password: entrance.password,
        database: entrance.database,
        tls,
        replicas: options.read_from_replicas && matches!(target, Target::Nodes(_)),
        connect_timeout: options.connect_timeout,
        timeout: options.timeout,
        max_connections: usize::try_from(options.max_connections).unwrap_or(usize::MAX),
    };
    Ok((target, access))
}

fn nodes_of(text: &str) -> Result<(Target, Entrance)> {
    const OPTION: &str = "redis.nodes";
    let (mut places, mut common) = (Vec::new(), None);
    for node in text.split(',').map(str::trim).filter(|node| !node.is_empty()) {
        if !node.contains("://") {
            // What the others say of users and TLS holds for it too.
            places.push(url_of(OPTION, &format!("redis://{node}"))?.0);
            continue;
        }
        let (place, entrance) = url_of(OPTION, node)?;
        if matches!(place, Place::Unix(_)) {
            return Err(invalid(OPTION, "names a unix socket, where a cluster's nodes are not; give host:port"));
        }
        if entrance.database != 0 {
            return Err(invalid(OPTION, "names a database other than 0, and a cluster has no other"));
        }
        if *common.get_or_insert_with(|| entrance.clone()) != entrance {
            return Err(invalid(
                OPTION,
                "has nodes with different users, passwords or schemes; all have to have the same",
            ));
        }
        places.push(place);
    }
    if places.is_empty() {
        return Err(invalid(OPTION, "names no node; give URLs or host:port with commas between them"));
    }
    let open = Entrance { user: None, password: None, database: 0, secure: false };
    Ok((Target::Nodes(places), common.unwrap_or(open)))
}

/// No message may repeat what was given: there may be a password in it.
fn url_of(option: &str, url: &str) -> Result<(Place, Entrance)> {
    const RIGHT: &str =
        "right is redis://[user:password@]host[:port][/database], the same with rediss://, or redis+unix:///path/of/socket";
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if !SCHEMES.contains(&scheme) {
        return Err(invalid(option, &format!("begins with no scheme that is known; {RIGHT}")));
    }
    let info: ConnectionInfo =
        url.into_connection_info().map_err(|_| invalid(option, &format!("cannot be understood; {RIGHT}")))?;
    let (place, secure) = match info.addr() {
        ConnectionAddr::Tcp(host, port) => (Place::Tcp(host.clone(), *port), false),
        ConnectionAddr::TcpTls { insecure: true, .. } => {
            let what = "ends with #insecure, which is not offered; name who vouches for the server in `redis.ca_file`";
            return Err(invalid(option, what));
        }
        ConnectionAddr::TcpTls { host, port, .. } => (Place::Tcp(host.clone(), *port), true),
        ConnectionAddr::Unix(path) if path.as_os_str().len() > 1 => (Place::Unix(path.clone()), false),
        _ => return Err(invalid(option, &format!("names no socket; {RIGHT}"))),
    };
    let settings = info.redis_settings();
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let (user, password) = (owned(settings.username()), owned(settings.password()));
    if user.is_some() && password.is_none() {
        return Err(invalid(option, &format!("names a user without a password; {RIGHT}")));
    }
    if settings.db() < 0 {
        return Err(invalid(option, &format!("names a database below 0; {RIGHT}")));
    }
    Ok((place, Entrance { user, password, database: settings.db(), secure }))
}

fn invalid(option: &str, what: &str) -> Error {
    Error::new(Status::InvalidOption, format!("`{option}` {what}"))
}
