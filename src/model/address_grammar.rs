//! The grammar of hosts, of URLs of the web interface, and of the addresses of Gitaly.

/// Returns whether this is the name of a host, as people write it in a remote: not empty, one word, no URL. It may have a port.
#[must_use]
pub fn is_host(text: &str) -> bool {
    !text.is_empty()
        && !text.chars().any(|letter| letter.is_whitespace() || matches!(letter, '/' | '@' | '?' | '#' | '\\' | '"' | '<' | '>'))
}

/// Returns whether this is the URL of a web interface: `http://` or `https://`, a host, and perhaps a port and a path.
#[must_use]
pub fn is_web_url(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else { return false };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_path = !path.chars().any(|letter| letter.is_whitespace() || matches!(letter, '?' | '#' | '\\' | '"' | '<' | '>'));
    is_authority(authority) && is_path
}

/// Returns whether this is an address that Gitaly's clients take: `unix:` and an absolute path, `tcp://` or `tls://` with a host and a
/// port, or `dns:` and a name.
#[must_use]
pub fn is_gitaly_address(address: &str) -> bool {
    if address.chars().any(char::is_whitespace) {
        return false;
    }
    if let Some(path) = address.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return path.starts_with('/') && path.len() > 1;
    }
    if let Some(authority) = address.strip_prefix("tcp://").or_else(|| address.strip_prefix("tls://")) {
        return is_authority(authority) && split_port(authority).1.is_some();
    }
    address.strip_prefix("dns:").is_some_and(|name| !name.trim_start_matches('/').is_empty())
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = split_port(authority);
    is_host(host) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Splits the port off; an address in brackets has colons of its own.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_gitaly_address, is_host, is_web_url};

    #[test]
    fn hosts_urls_and_addresses() {
        for (host, ok) in [("git.example.com", true), ("[::1]:2222", true), ("", false), ("a b", false), ("https://a", false)] {
            assert_eq!(is_host(host), ok, "{host}");
        }
        for (url, ok) in [
            ("http://localhost", true),
            ("https://git.example.com:8443/gitlab/", true),
            ("https://[::1]/", true),
            ("", false),
            ("git.example.com", false),
            ("ftp://a", false),
            ("https://", false),
            ("https:///a", false),
            ("https://a:0/", false),
            ("https://a:x/", false),
            ("https://u@a/", false),
            ("https://a/?q", false),
            ("https://a /", false),
        ] {
            assert_eq!(is_web_url(url), ok, "{url}");
        }
        for (address, ok) in [
            ("unix:/run/gitaly.sock", true),
            ("unix:///run/gitaly.sock", true),
            ("tcp://10.0.0.1:8075", true),
            ("tls://gitaly:9999", true),
            ("dns:///gitaly:8075", true),
            ("unix:gitaly.sock", false),
            ("unix:/", false),
            ("tcp://gitaly", false),
            ("tcp://:8075", false),
            ("dns:", false),
            ("gitaly:8075", false),
            ("unix:/a b", false),
        ] {
            assert_eq!(is_gitaly_address(address), ok, "{address}");
        }
    }
}
