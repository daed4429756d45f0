//! The address of a Gitaly server, as gRPC's clients write it. Pure.

use std::fmt;
use std::path::PathBuf;

/// Where a Gitaly server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GitalyAddress {
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
    /// A host and a port, in clear text.
    Tcp(String, u16),
    /// A host and a port, over TLS.
    Tls(String, u16),
}

impl GitalyAddress {
    /// Parses `unix:/path`, `unix:///path`, `tcp://host:port`, `tls://host:port`, `dns:host:port` or `dns:///host:port`. The error says
    /// what is expected, and repeats nothing of the address.
    pub fn parse(address: &str) -> Result<Self, String> {
        if address.is_empty() {
            return Err("it is empty".to_owned());
        }
        if let Some(path) = address.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let is_path = path.starts_with('/') && path.len() > 1 && !path.contains('\0');
            return if is_path { Ok(Self::Unix(path.into())) } else { Err("`unix:` is followed by an absolute path".to_owned()) };
        }
        if let Some(authority) = address.strip_prefix("tls://") {
            return parse_authority(authority).map(|(host, port)| Self::Tls(host, port));
        }
        if let Some(authority) = address.strip_prefix("tcp://").or_else(|| address.strip_prefix("dns:///")) {
            return parse_authority(authority).map(|(host, port)| Self::Tcp(host, port));
        }
        match address.strip_prefix("dns:") {
            Some(name) if name.starts_with("//") => Err("a name server in `dns://` is not used; write `dns:///host:port`".to_owned()),
            Some(name) => parse_authority(name).map(|(host, port)| Self::Tcp(host, port)),
            None => Err("an address begins with `unix:`, `tcp://`, `tls://` or `dns:`".to_owned()),
        }
    }
}

/// Parses a host and a port. An IPv6 address stands in brackets, and is returned without them.
fn parse_authority(authority: &str) -> Result<(String, u16), String> {
    let expected = || "a host and a port are expected, as `gitaly.example.com:8075`".to_owned();
    let (host, port) = authority.rsplit_once(':').ok_or_else(expected)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(expected)?;
    let is_host = !host.is_empty() && !host.chars().any(|letter| letter.is_whitespace() || matches!(letter, '/' | '@' | '[' | ']' | '\0'));
    if is_host { Ok((host.to_owned(), port)) } else { Err(expected()) }
}

impl fmt::Display for GitalyAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = |host: &str, port: u16| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        match self {
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
            Self::Tcp(host, port) => write!(out, "tcp://{}", authority(host, *port)),
            Self::Tls(host, port) => write!(out, "tls://{}", authority(host, *port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::GitalyAddress;
    use crate::model::address_grammar::is_gitaly_address;

    #[test]
    fn an_address_is_read_as_grpc_reads_it() {
        for (address, read) in [
            ("unix:/run/gitaly.sock", "unix:/run/gitaly.sock"),
            ("unix:///run/gitaly.sock", "unix:/run/gitaly.sock"),
            ("tcp://gitaly.internal:8075", "tcp://gitaly.internal:8075"),
            ("tls://[fd00::1]:9999", "tls://[fd00::1]:9999"),
            ("dns:///gitaly.internal:8075", "tcp://gitaly.internal:8075"),
            ("dns:gitaly.internal:8075", "tcp://gitaly.internal:8075"),
        ] {
            assert_eq!(GitalyAddress::parse(address).unwrap().to_string(), read, "{address}");
        }
        for (address, reason) in [
            ("", "it is empty"),
            ("unix:gitaly.sock", "absolute path"),
            ("unix:", "absolute path"),
            ("tcp://gitaly.internal", "a host and a port"),
            ("tcp://:8075", "a host and a port"),
            ("tls://gitaly.internal:0", "a host and a port"),
            ("tls://gitaly.internal:99999", "a host and a port"),
            ("dns://10.0.0.1/gitaly.internal:8075", "name server"),
            ("gitaly.internal:8075", "begins with"),
            ("https://gitaly.internal:8075", "begins with"),
        ] {
            let error = GitalyAddress::parse(address).unwrap_err();
            assert!(error.contains(reason), "{address}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_in_the_grammar_of_the_directory_and_is_read_again(address in "(unix:|tcp://|tls://|dns:)?[/a-z:0-9\\[\\].@ ]{0,16}") {
            if let Ok(parsed) = GitalyAddress::parse(&address) {
                let text = parsed.to_string();
                prop_assert_eq!(GitalyAddress::parse(&text), Ok(parsed));
                prop_assert!(address.contains(' ') || is_gitaly_address(&text), "{}", text);
            }
        }
    }
}
