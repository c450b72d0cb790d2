//! How a server is reached, and by whom: passwords, sockets, TLS, and options that can never work.

use super::support::{are_installed, certificates, is_installed, Folder, Server};
use super::{get, open, put, put_as, tagged, try_open};
use crate::clock::unix_micros;
use crate::error::Status;
use crate::tiers::{FaultKind, Tier};
use std::time::Duration;

#[test]
fn passwords_users_and_databases_are_used_and_a_wrong_one_is_said() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start(&["--requirepass", "s3 cret"]);
    server.entrance = vec!["--no-auth-warning".into(), "-a".into(), "s3 cret".into()];
    let at = |entrance: &str| open(&[("url", &format!("redis://{entrance}127.0.0.1:{}/3", server.port()))]);
    let redis = at(":s3%20cret@");
    redis.probe().unwrap();
    put(&redis, b"k", b"v").unwrap();
    assert_eq!(server.cli(&["-n", "3", "get", "catzilla:k"]), "v");
    for (entrance, word) in [(":wr0ng@", "WRONGPASS"), ("nobody:s3%20cret@", "WRONGPASS"), ("", "NOAUTH")] {
        let fault = at(entrance).probe().unwrap_err();
        assert_eq!(fault.kind, FaultKind::Refused);
        assert!(fault.message.contains(word) && !fault.message.contains("wr0ng"), "{fault}");
    }
    let fault = open(&[("url", &format!("redis://:s3%20cret@127.0.0.1:{}/99", server.port()))]).probe().unwrap_err();
    assert!(fault.kind == FaultKind::Refused && fault.message.contains("DB index"), "{fault}");
}

#[test]
fn a_user_who_may_use_nothing_but_our_prefix_is_enough() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let commands = ["+get", "+mget", "+set", "+unlink", "+expire", "+scan", "+ping"];
    let user = ["acl", "setuser", "cache", "on", ">pw", "resetkeys", "~catzilla:*", "-@all"];
    assert_eq!(server.cli(&[&user[..], &commands].concat()), "OK");
    let at =
        |prefix| open(&[("url", &format!("redis://cache:pw@127.0.0.1:{}", server.port())), ("key_prefix", prefix)]);
    let redis = at("catzilla:");
    redis.probe().unwrap();
    put_as(&redis, b"k", tagged(b"v", &[b"t"])).unwrap();
    assert!(!redis.is_purged(&[b"t"], unix_micros()).unwrap());
    redis.purge_tag(b"t", 5).unwrap();
    assert_eq!(redis.read(&[b"k", b"none"]).unwrap(), [Some(b"v".to_vec()), None]);
    assert_eq!(redis.clear().unwrap(), 1);
    let fault = get(&at("other:"), b"k").unwrap_err();
    assert!(fault.kind == FaultKind::Refused && fault.message.contains("NOPERM"), "{fault}");
}

#[test]
fn a_unix_socket_is_as_good_as_a_port() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    for scheme in ["redis+unix", "unix"] {
        let redis = open(&[("url", &format!("{scheme}://{}?db=2", server.socket().display()))]);
        redis.probe().unwrap();
        put(&redis, scheme.as_bytes(), b"v").unwrap();
        assert_eq!(server.cli(&["-n", "2", "get", &format!("catzilla:{scheme}")]), "v");
    }
    let fault = open(&[("url", "redis+unix:///nowhere/at/all")]).probe().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable);
}

#[test]
fn a_server_by_tls_is_believed_if_its_certificate_is_and_believes_ours() {
    if !is_installed() || !are_installed(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    certificates(folder.path()).unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = super::support::free_port().to_string();
    let (certificate, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let arguments =
        ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let server = Server::start(&[&arguments[..], &["--tls-auth-clients", "yes"]].concat());
    let tls = |host: &str, options: &[(&str, &str)]| {
        let url = format!("rediss://{host}:{port}");
        open(&[&[("url", &url[..])], options].concat())
    };
    let (mine, my_key, other) = (file("client.pem"), file("client.key"), file("other.pem"));
    let shown = [("certificate_file", &mine[..]), ("key_file", &my_key[..])];
    for host in ["127.0.0.1", "localhost"] {
        let redis = tls(host, &[&[("ca_file", &ca[..])], &shown[..]].concat());
        redis.probe().unwrap();
        let large = vec![7; 3_000_000];
        put(&redis, b"large", &large).unwrap();
        assert!(get(&redis, b"large").unwrap().unwrap() == large);
        std::thread::sleep(Duration::from_millis(20));
        assert!(get(&redis, b"large").unwrap().is_some());
        assert_eq!(redis.figures().connects, 1);
    }
    assert_eq!(server.cli(&["exists", "catzilla:large"]), "1");
    let refusal = |options: &[(&str, &str)]| tls("127.0.0.1", options).probe().unwrap_err();
    let unknown = refusal(&[&[("ca_file", &other[..])], &shown[..]].concat());
    assert!(unknown.kind == FaultKind::Refused && unknown.message.contains("certificate"), "{unknown}");
    // Without a certificate of ours the server ends it.
    let silent = refusal(&[("ca_file", &ca)]);
    assert!(matches!(silent.kind, FaultKind::Refused | FaultKind::Unreachable), "{silent}");
    // The name has to be the certificate's.
    let stranger = tls("127.0.0.2", &[&[("ca_file", &ca[..])], &shown[..]].concat()).probe().unwrap_err();
    assert_ne!(stranger.kind, FaultKind::TimedOut);
}

#[test]
fn options_that_can_never_work_are_refused_without_a_word_of_the_password() {
    let folder = Folder::new();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (nonsense, empty) =
        (file("nonsense", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"), file("empty", ""));
    let (tls, plain) = (("url", "rediss://h"), ("url", "redis://h"));
    for (options, part) in [
        (&[("url", "http://user:s3cret@host")][..], "no scheme that is known"),
        (&[("url", "s3cret")], "no scheme that is known"),
        (&[("url", "redis://user:s3cret@host:port")], "cannot be understood"),
        (&[("url", "redis://user:s3cret@host/x")], "cannot be understood"),
        (&[("url", "redis://user:s3cret@")], "cannot be understood"),
        (&[("url", "redis://user:s3cret@host/-1")], "below 0"),
        (&[("url", "redis://s3cret@host")], "without a password"),
        (&[("url", "redis+unix:///")], "names no socket"),
        (&[("url", "rediss://:s3cret@host/#insecure")], "not offered"),
        (&[plain, ("nodes", "a:1")], "both given"),
        (&[("nodes", " , ")], "names no node"),
        (&[("nodes", "a:1,b:x")], "cannot be understood"),
        (&[("nodes", "redis://a:1/2")], "database other than 0"),
        (&[("nodes", "redis+unix:///a")], "unix socket"),
        (&[("nodes", "redis://:s3cret@a:1,redis://b:1")], "different users"),
        (&[("nodes", "redis://a:1,rediss://b:1")], "different users"),
        (&[plain, ("ca_file", &empty)], "are for TLS"),
        (&[tls, ("ca_file", "/nowhere/ca.pem")], "cannot be read"),
        (&[tls, ("ca_file", &empty)], "holds no certificate"),
        (&[tls, ("ca_file", &nonsense)], "no file of PEM"),
    ] {
        let error = try_open(options).err().unwrap_or_else(|| panic!("{options:?} was taken"));
        assert_eq!(error.status(), Status::InvalidOption, "{options:?}");
        assert!(error.message().contains(part) && error.message().starts_with("`redis."), "{options:?}: {error}");
        assert!(!error.message().contains("s3cret"), "{error}");
    }
    if are_installed(&["openssl"]) {
        certificates(folder.path()).unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (ca, mine, my_key, other) = (path("ca.pem"), path("client.pem"), path("client.key"), path("other.key"));
        let refused = |options: &[(&str, &str)]| {
            try_open(&[&[tls, ("ca_file", &ca[..])], options].concat()).err().unwrap().message().to_owned()
        };
        assert!(refused(&[("certificate_file", &mine)]).contains("`redis.key_file` is missing"));
        assert!(refused(&[("key_file", &my_key)]).contains("`redis.certificate_file` is missing"));
        assert!(refused(&[("certificate_file", &mine), ("key_file", &mine)]).contains("no private key"));
        assert!(refused(&[("certificate_file", &mine), ("key_file", &other)]).contains("does not fit"));
    }
}

#[test]
fn options_that_may_work_make_no_connection() {
    for options in [
        &[("url", "redis://127.0.0.1:1")][..],
        &[("url", "redis://user:p%40ss@no.such.host.invalid:7000/5")],
        &[("url", "redis://[::1]:7000")],
        &[("nodes", "127.0.0.1:1, redis://127.0.0.1:2,[::1]:7")],
    ] {
        let redis = try_open(options).unwrap();
        assert_eq!(redis.figures().connects, 0);
    }
}
