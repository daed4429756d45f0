//! One address, or a network by its prefix, as the lists of addresses have them.

use std::net::IpAddr;

/// The addresses of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    network: IpAddr,
    prefix_length: u32,
}

impl IpRange {
    /// Reads `address` or `address/prefix`; `None` if it is anything else, such as a list, `*`, or a prefix that is too long.
    #[must_use]
    pub fn parse(entry: &str) -> Option<Self> {
        let (address, prefix) = match entry.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
            None => (entry.trim(), None),
        };
        let network: IpAddr = address.parse().ok()?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        let prefix_length = prefix.unwrap_or(width);
        (prefix_length <= width).then_some(Self { network, prefix_length })
    }

    /// Returns whether an address is in the network. IPv4 addresses that are mapped to IPv6 are those addresses.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(start), IpAddr::V4(address)) => {
                shares_prefix(start.to_bits().into(), address.to_bits().into(), 32 - self.prefix_length)
            }
            (IpAddr::V6(start), IpAddr::V6(address)) => shares_prefix(start.to_bits(), address.to_bits(), 128 - self.prefix_length),
            (IpAddr::V6(start), IpAddr::V4(address)) => {
                shares_prefix(start.to_bits(), address.to_ipv6_mapped().to_bits(), 128 - self.prefix_length)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }
}

fn shares_prefix(one: u128, other: u128, host_bits: u32) -> bool {
    (one ^ other).checked_shr(host_bits).unwrap_or(0) == 0
}
