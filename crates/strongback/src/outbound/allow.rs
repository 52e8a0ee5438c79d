//! The setting that allows what is refused otherwise: hosts by name, addresses, ranges of addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use url::Host;

/// Hosts and ranges of addresses that an operator named. Empty allows nothing beyond what is allowed to everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    names: Vec<String>,
    ranges: Vec<Range>,
}

/// A range of addresses; one of IPv4 lies within `::ffff:0:0/96`, so that both spellings of an address are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    base: u128,
    prefix: u32,
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let ip: IpAddr = base.parse().ok()?;
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        (prefix <= longest).then(|| Self { base: bits(ip), prefix: prefix + 128 - longest })
    }

    fn has(self, ip: IpAddr) -> bool {
        let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
        (bits(ip) ^ self.base) & mask == 0
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (base, prefix) = (Ipv6Addr::from_bits(self.base), self.prefix);
        match base.to_ipv4_mapped().filter(|_| prefix >= 96) {
            Some(base) => write!(f, "{base}/{}", prefix - 96),
            None => write!(f, "{base}/{prefix}"),
        }
    }
}

/// Of the letters that hosts have; a pattern is none. The parser has made it lower case.
fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

impl AllowList {
    /// Reads the entries of a list with commas, or says what is wrong with one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if let Some(range) = Range::parse(entry) {
                list.ranges.push(range);
                continue;
            }
            match Host::parse(entry.trim_end_matches('.')) {
                Ok(Host::Domain(name)) if is_name(&name) => list.names.push(name),
                _ => {
                    return Err(format!(
                        "{entry:?} is neither a host such as hooks.example.com, nor an address, nor a range such as 10.1.0.0/16."
                    ));
                }
            }
        }
        Ok(list)
    }

    /// Whether a host is named, in lower case.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Whether an address lies in a range that is named.
    pub fn has_address(&self, ip: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.has(ip))
    }

    /// Whether any range is named.
    pub fn has_ranges(&self) -> bool {
        !self.ranges.is_empty()
    }
}

impl fmt::Display for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.ranges.iter().map(ToString::to_string);
        let all: Vec<String> = self.names.iter().cloned().chain(ranges).collect();
        f.write_str(&all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_addresses_and_ranges_are_told_apart() {
        let list =
            AllowList::parse(" Hooks.Example.com. ,10.1.0.0/16,127.0.0.1, fd00::/8 ,[::1],").unwrap_err();
        assert!(list.contains("[::1]"), "{list}");
        let list = AllowList::parse(" Hooks.Example.com. ,10.1.0.0/16,127.0.0.1, fd00::/8 ,").unwrap();
        assert_eq!(list.to_string(), "hooks.example.com,10.1.0.0/16,127.0.0.1/32,fd00::/8");
        assert!(list.has_name("hooks.example.com") && !list.has_name("example.com"));
        for (address, is_in) in [
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("::ffff:10.1.2.3", true),
            ("fd12::1", true),
            ("fe80::1", false),
            ("8.8.8.8", false),
        ] {
            assert_eq!(list.has_address(address.parse().unwrap()), is_in, "{address}");
        }
        for wrong in ["10.1.0.0/33", "fd00::/129", "10.1.0.0/x", "http://a", "a b", "*", "10.1.0.0/-1"] {
            assert!(AllowList::parse(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
        assert!(AllowList::parse("0.0.0.0/0").unwrap().has_address("8.8.8.8".parse().unwrap()));
        assert!(!AllowList::parse("0.0.0.0/0").unwrap().has_address("fd00::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_range_has_its_own_addresses_alone(base: u32, prefix in 0..=32_u32, other: u32) {
            let text = format!("{}/{prefix}", std::net::Ipv4Addr::from_bits(base));
            let list = AllowList::parse(&text).unwrap();
            let is_in = (0..prefix).all(|at| (base ^ other) >> (31 - at) & 1 == 0);
            prop_assert_eq!(list.has_address(std::net::Ipv4Addr::from_bits(other).into()), is_in);
            prop_assert!(list.has_address(std::net::Ipv4Addr::from_bits(base).into()));
        }
    }
}
