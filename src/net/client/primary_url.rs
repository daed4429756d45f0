//! The URL of a primary: the one check of it, for the configuration and for the client. Pure.

use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;
use http::header::HeaderValue;

/// Where requests to a primary go, and with which `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrimaryUrl {
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
    /// A host, over plain HTTP or TLS.
    Http {
        /// Scheme and authority: what the client connects to.
        origin: Uri,
        /// The value of the header `Host`.
        host: HeaderValue,
        /// What the path of every request begins with; empty, or begins with `/` and does not end with it.
        prefix: String,
    },
}

const MAX_SOCKET_PATH_BYTES: usize = 107;

impl PrimaryUrl {
    /// Parses a URL as configured: `http+unix:///absolute/path.sock`, `http://host[:port][/prefix]` (to another host only with
    /// `insecure_http`) or `https://host[:port][/prefix]`. The error says why it is refused, without what may be secret in it.
    pub fn parse(url: &str, insecure_http: bool) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("http+unix://") {
            return parse_socket_path(path).map(Self::Unix);
        }
        let uri: Uri = url.parse().map_err(|error| format!("this is not a URL: {error}"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("a URL begins with http+unix://, http:// or https://".into());
        };
        if authority.host().is_empty() {
            return Err("the URL names no host".into());
        }
        if authority.as_str().contains('@') {
            return Err("a name or password in the URL is not used; remove it".into());
        }
        match scheme {
            "https" => {}
            "http" if insecure_http || is_loopback(authority.host()) => {}
            "http" => {
                return Err(
                    "http:// to another host shows keys and tokens to the network; use https://, or set insecure_http = true".into()
                );
            }
            _ => return Err(format!("{scheme}:// is not known; use http+unix://, http:// or https://")),
        }
        if uri.query().is_some() || url.contains('#') {
            return Err("the URL of a primary has no query and no fragment; remove it".into());
        }
        let origin = format!("{scheme}://{authority}/").parse().map_err(|error| format!("this is not a URL: {error}"))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|error| format!("this is not a host: {error}"))?;
        Ok(Self::Http { origin, host, prefix: uri.path().trim_end_matches('/').to_owned() })
    }

    /// Returns whether requests go over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        matches!(self, Self::Http { origin, .. } if origin.scheme_str() == Some("https"))
    }
}

/// Returns whether a host is this host by its name or address. An IPv4 address mapped into IPv6 is judged as the IPv4 address.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Parses what follows `http+unix://`: the path of the socket, plain or percent-encoded.
fn parse_socket_path(text: &str) -> Result<PathBuf, String> {
    let path = decode_percent(text)?;
    if !path.starts_with('/') || path.ends_with('/') {
        return Err("http+unix:// is followed by the absolute path of a socket, as in http+unix:///run/sidegate-primary/api.sock".into());
    }
    if path.len() > MAX_SOCKET_PATH_BYTES || path.contains('\0') {
        return Err(format!("the path of a socket has at most {MAX_SOCKET_PATH_BYTES} bytes, none of them zero"));
    }
    Ok(path.into())
}

fn decode_percent(text: &str) -> Result<String, String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or("a % in the path is followed by two hexadecimal digits")?;
        let byte = digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok()).flatten();
        bytes.push(byte.ok_or("a % in the path is followed by two hexadecimal digits")?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| "the path of the socket is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::PrimaryUrl;

    #[test]
    fn all_after_the_scheme_is_the_path_of_the_socket() {
        for (url, path) in [
            ("http+unix:///run/sidegate-primary/api.sock", "/run/sidegate-primary/api.sock"),
            ("http+unix://%2Frun%2fsidegate-primary%2Fapi.sock", "/run/sidegate-primary/api.sock"),
            ("http+unix:///run/a%20b?c#d.sock", "/run/a b?c#d.sock"),
        ] {
            assert_eq!(PrimaryUrl::parse(url, false), Ok(PrimaryUrl::Unix(PathBuf::from(path))), "{url}");
        }
    }

    #[test]
    fn what_is_no_path_of_a_socket_is_refused() {
        let long = format!("http+unix:///{}", "a".repeat(107));
        for url in [
            "http+unix://",
            "http+unix://run/x",
            "http+unix:///run/",
            "http+unix:///run/%2",
            "http+unix:///run/%zz",
            "http+unix:///%00",
            &long,
        ] {
            assert!(PrimaryUrl::parse(url, false).is_err(), "{url}");
        }
    }

    #[test]
    fn the_path_of_a_web_url_is_a_prefix() {
        for (url, prefix, host) in [
            ("https://gitlab.example.com", "", "gitlab.example.com"),
            ("https://gitlab.example.com/gitlab/", "/gitlab", "gitlab.example.com"),
            ("http://127.0.0.1:8181/a/b", "/a/b", "127.0.0.1:8181"),
            ("http://[::1]:80/", "", "[::1]:80"),
        ] {
            let Ok(PrimaryUrl::Http { prefix: found, host: named, .. }) = PrimaryUrl::parse(url, false) else {
                panic!("{url} was refused")
            };
            assert_eq!((found.as_str(), named.to_str().unwrap()), (prefix, host));
        }
    }

    #[test]
    fn plain_http_goes_only_to_this_host_unless_asked_for() {
        for url in ["http://gitlab.example.com", "http://10.0.0.1", "http://localhost.example.com", "http://[::ffff:10.0.0.1]"] {
            assert!(PrimaryUrl::parse(url, false).unwrap_err().contains("insecure_http"), "{url}");
            assert!(PrimaryUrl::parse(url, true).is_ok(), "{url}");
        }
        for url in ["http://localhost:1", "http://127.9.9.9", "http://[::1]", "http://[::ffff:127.0.0.1]"] {
            assert!(PrimaryUrl::parse(url, false).is_ok(), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for url in [
            "",
            "gitlab.example.com",
            "ftp://localhost",
            "https://localhost?a=b",
            "https://localhost/#a",
            "https://",
            "http://:80",
            "http://a b/",
            "/run/x.sock",
        ] {
            assert!(PrimaryUrl::parse(url, true).is_err(), "{url}");
        }
        let refused = PrimaryUrl::parse("https://root:secret@localhost", true).unwrap_err();
        assert!(refused.contains("password") && !refused.contains("secret"));
    }
}
