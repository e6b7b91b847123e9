//! Which addresses a bundle's code may reach: those of the public internet, and what an operator adds.
//!
//! The lists follow IANA's registries of special-purpose addresses. For IPv6 it is the other way
//! round: only what is handed out to the public (2000::/3) is good, less what there is special. So
//! mapped, translated and local addresses need no entry of their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Not of the public internet: network, and how many bits of it count.
const SPECIAL_V4: [(Ipv4Addr, u32); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32), // a cloud's own, though it lies among public ones
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3), // multicast, reserved, broadcast
];

/// What of 2000::/3 is not of the public internet.
const SPECIAL_V6: [(Ipv6Addr, u32); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocols, Teredo and benchmarks among them
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: an IPv4 address within
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether `address` may be connected to; `also` is what the operator allows besides.
pub(super) fn may_reach(address: IpAddr, also: &[IpNet]) -> bool {
    also.iter().any(|network| network.contains(&address)) || is_public(address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            !SPECIAL_V4.iter().any(|(network, length)| (network.to_bits() ^ bits) >> (32 - length) == 0)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let handed_out = bits >> 125 == 1;
            // ISATAP ends in an IPv4 address behind 5efe, under any prefix.
            let carries_v4 = matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _]);
            let special = SPECIAL_V6.iter().any(|(network, length)| (network.to_bits() ^ bits) >> (128 - length) == 0);
            handed_out && !carries_v4 && !special
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn judged(addresses: &[&str], expected: bool) {
        for address in addresses {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn the_edges_of_each_network_are_where_the_registries_put_them() {
        judged(
            &[
                "0.0.0.0",
                "0.255.255.255",
                "10.0.0.0",
                "10.255.255.255",
                "100.64.0.0",
                "100.127.255.255",
                "127.0.0.1",
                "127.255.255.255",
                "168.63.129.16",
                "169.254.0.0",
                "169.254.169.254",
                "172.16.0.0",
                "172.31.255.255",
                "192.0.0.1",
                "192.0.0.192",
                "192.0.2.255",
                "192.31.196.1",
                "192.52.193.1",
                "192.88.99.1",
                "192.168.0.0",
                "192.168.255.255",
                "192.175.48.1",
                "198.18.0.0",
                "198.19.255.255",
                "198.51.100.1",
                "203.0.113.1",
                "224.0.0.1",
                "239.255.255.255",
                "240.0.0.1",
                "255.255.255.255",
            ],
            false,
        );
        judged(
            &[
                "1.1.1.1",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "168.63.129.15",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.1.0",
                "192.0.3.0",
                "192.167.255.255",
                "192.169.0.0",
                "198.17.255.255",
                "198.20.0.0",
                "203.0.114.0",
                "223.255.255.255",
            ],
            true,
        );
    }

    #[test]
    fn an_ipv4_address_inside_of_an_ipv6_one_reaches_nothing() {
        judged(
            &[
                "::",
                "::1",
                "::127.0.0.1",
                "::ffff:127.0.0.1",
                "::ffff:8.8.8.8",
                "::ffff:0:127.0.0.1",
                "64:ff9b::7f00:1",
                "64:ff9b:1::7f00:1",
                "2002:7f00:1::",
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                "2600::5efe:127.0.0.1",
                "2600::200:5efe:10.0.0.1",
                "100::1",
                "2001:2::1",
                "2001:10::1",
                "2001:20::1",
                "2001:db8::1",
                "2620:4f:8000::1",
                "3fff::1",
                "5f00::1",
                "fc00::1",
                "fd00:ec2::254",
                "fe80::1",
                "fec0::1",
                "ff02::1",
            ],
            false,
        );
        judged(&["2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::1", "2001:200::1"], true);
    }

    #[test]
    fn an_operator_opens_a_network_and_no_other() {
        let also = ["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (address, expected) in
            [("127.0.0.1", true), ("10.0.0.1", false), ("fd12::1", true), ("::1", false), ("::ffff:127.0.0.1", false)]
        {
            assert_eq!(may_reach(address.parse().unwrap(), &also), expected, "{address}");
        }
    }
}
