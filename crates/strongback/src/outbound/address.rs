//! Which addresses are public, which belong to somebody's own network, and which nobody is to be sent to.
//!
//! An IPv6 address that carries an IPv4 address is judged by the one that it carries. What no list names is not public: of
//! IPv6 only 2000::/3 is given out to networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anybody's, on the internet.
    Public,
    /// Of this machine, or of a network of one's own: loopback, private, shared (CGNAT), unique local.
    Private,
    /// Link-local, metadata of a cloud, multicast, unspecified, reserved, or a wrapping that is no longer in use.
    Never,
}

/// Networks of one's own, with the length of their prefix.
const PRIVATE_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// What is no address of a host that somebody may name: IANA's special-purpose registry.
const NEVER_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Metadata of Alibaba's machines, and the agent of Azure's, which stand outside of 169.254.
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Protocol assignments, with the metadata of Oracle's machines.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation, benchmarks, relays of 6to4.
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    // Multicast, reserved, broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Unique local addresses.
const UNIQUE_LOCAL: (Ipv6Addr, u32) = (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);
/// The prefix behind which a translator of the network has the IPv4 address (RFC 6052).
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// What is given out to networks.
const GLOBAL: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Within the addresses of networks, or of one's own ones, what is no host's.
const NEVER_V6: &[(Ipv6Addr, u32)] = &[
    // Protocol assignments: Teredo, benchmarks, ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4 carries an IPv4 address, through relays that are gone.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    // Metadata of Amazon's and Google's machines.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128),
];

/// What an address is.
pub fn kind(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(ip) => kind_v4(ip),
        IpAddr::V6(ip) => kind_v6(ip),
    }
}

fn kind_v4(ip: Ipv4Addr) -> Kind {
    let is_in =
        |(base, prefix): &(Ipv4Addr, u32)| ip.to_bits() >> (32 - prefix) == base.to_bits() >> (32 - prefix);
    if NEVER_V4.iter().any(is_in) {
        Kind::Never
    } else if PRIVATE_V4.iter().any(is_in) {
        Kind::Private
    } else {
        Kind::Public
    }
}

fn kind_v6(ip: Ipv6Addr) -> Kind {
    let is_in =
        |(base, prefix): &(Ipv6Addr, u32)| ip.to_bits() >> (128 - prefix) == base.to_bits() >> (128 - prefix);
    let carried =
        ip.to_ipv4_mapped().or_else(|| is_in(&NAT64).then(|| Ipv4Addr::from_bits(ip.to_bits() as u32)));
    if let Some(carried) = carried {
        return kind_v4(carried);
    }
    if NEVER_V6.iter().any(is_in) {
        Kind::Never
    } else if ip.is_loopback() || is_in(&UNIQUE_LOCAL) {
        Kind::Private
    } else if is_in(&GLOBAL) {
        Kind::Public
    } else {
        Kind::Never
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(expected: Kind, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(kind(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn hosts_of_the_internet_and_of_networks_of_ones_own_are_told_apart() {
        check(
            Kind::Public,
            &[
                "8.8.8.8",
                "1.1.1.1",
                "172.32.0.1",
                "100.63.255.255",
                "100.128.0.1",
                "192.0.1.1",
                "223.255.255.255",
                "2606:4700:4700::1111",
                "2a00:1450::1",
                "::ffff:8.8.8.8",
                "64:ff9b::8.8.8.8",
            ],
        );
        check(
            Kind::Private,
            &[
                "127.0.0.1",
                "127.255.255.254",
                "10.0.0.1",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.1.1",
                "100.64.0.1",
                "::1",
                "fc00::1",
                "fd12:3456::1",
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "64:ff9b::10.0.0.1",
            ],
        );
    }

    #[test]
    fn what_is_nobodys_host_is_neither() {
        check(
            Kind::Never,
            &[
                "0.0.0.0",
                "0.1.2.3",
                "169.254.169.254",
                "169.254.0.1",
                "100.100.100.200",
                "168.63.129.16",
                "192.0.0.192",
                "192.0.2.1",
                "198.51.100.7",
                "203.0.113.9",
                "198.19.0.1",
                "192.88.99.1",
                "224.0.0.1",
                "239.1.1.1",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "::127.0.0.1",
                "fe80::1",
                "fec0::1",
                "ff02::1",
                "2001:db8::1",
                "2001::1",
                "2002:7f00:1::",
                "2002:808:808::",
                "64:ff9b:1::1",
                "64:ff9b::169.254.169.254",
                "100::1",
                "::ffff:169.254.169.254",
                "::ffff:0:0",
                "fd00:ec2::254",
                "fd20:ce::254",
                "4000::1",
                "5f00::1",
            ],
        );
    }

    /// What the standard library calls private, loopback and so on, in other words.
    fn is_special(ip: Ipv4Addr) -> bool {
        ip.is_private()
            || ip.is_loopback()
            || ip.is_link_local()
            || ip.is_multicast()
            || ip.is_unspecified()
            || ip.is_broadcast()
            || ip.is_documentation()
            || (ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]))
    }

    proptest! {
        #[test]
        fn no_wrapping_makes_an_address_public(bits: u32) {
            let ip = Ipv4Addr::from_bits(bits);
            let plain = kind(ip.into());
            prop_assert!(!(is_special(ip) && plain == Kind::Public), "{}", ip);
            prop_assert_eq!(kind(ip.to_ipv6_mapped().into()), plain);
            let tail = u128::from(bits);
            prop_assert_eq!(kind(Ipv6Addr::from_bits(NAT64.0.to_bits() | tail).into()), plain);
            // Wrappings that are not in use any more are nobody's address.
            for wrapped in [0x2002 << 112 | tail << 80, 0x2001 << 112 | tail, tail & !1 | 2] {
                prop_assert_eq!(kind(Ipv6Addr::from_bits(wrapped).into()), Kind::Never);
            }
        }

        #[test]
        fn of_ipv6_only_what_is_given_out_is_public(bits: u128) {
            let ip = Ipv6Addr::from_bits(bits);
            let is_given_out = bits >> 125 == 1;
            let carries = ip.to_ipv4_mapped().is_some() || bits >> 32 == NAT64.0.to_bits() >> 32;
            prop_assert!(kind(ip.into()) != Kind::Public || is_given_out || carries, "{}", ip);
            prop_assert!(!(ip.is_multicast() && kind(ip.into()) != Kind::Never));
        }
    }
}
