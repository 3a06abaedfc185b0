//! Which hosts may be fetched from: the public Internet, and what the operator allows besides.
//!
//! Promises:
//! - An address is permitted only where it is known to be public or the operator listed it; what is
//!   in doubt is refused.
//! - An IPv6 address that stands for an IPv4 address is judged by that one, or refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::Host;

/// What is not the public Internet: all of the IANA IPv4 Special-Purpose Address Registry
/// (RFC 6890, RFC 8190 and successors), whether reachable from everywhere or not, and multicast.
const SPECIAL_V4: [Ipv4Net; 19] = [
    v4([0, 0, 0, 0], 8),        // this network; unspecified
    v4([10, 0, 0, 0], 8),       // private
    v4([100, 64, 0, 0], 10),    // carrier-grade NAT; Alibaba's metadata
    v4([127, 0, 0, 0], 8),      // loopback
    v4([169, 254, 0, 0], 16),   // link-local; most clouds' metadata
    v4([172, 16, 0, 0], 12),    // private
    v4([192, 0, 0, 0], 24),     // protocol assignments; Oracle's metadata
    v4([192, 0, 2, 0], 24),     // documentation
    v4([192, 31, 196, 0], 24),  // AS112
    v4([192, 52, 193, 0], 24),  // automatic multicast tunnelling
    v4([192, 88, 99, 0], 24),   // 6to4 relays, deprecated
    v4([192, 168, 0, 0], 16),   // private
    v4([192, 175, 48, 0], 24),  // AS112
    v4([198, 18, 0, 0], 15),    // benchmarking
    v4([198, 51, 100, 0], 24),  // documentation
    v4([203, 0, 113, 0], 24),   // documentation
    v4([224, 0, 0, 0], 4),      // multicast
    v4([240, 0, 0, 0], 4),      // reserved; broadcast
    v4([168, 63, 129, 16], 32), // Azure's metadata, public by number only
];

/// All that IANA has allocated as public so far (RFC 4291): outside lie unspecified, loopback,
/// IPv4-compatible, unique-local, link-local and multicast addresses, and NAT64.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// What inside [`GLOBAL_UNICAST`] is not the public Internet: the rest of the IANA IPv6
/// Special-Purpose Address Registry.
const SPECIAL_V6: [Ipv6Net; 5] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments; Teredo; benchmarking
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6to4, deprecated
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48), // AS112
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

/// NAT64 under the well-known prefix (RFC 6052): the last 32 bits are an IPv4 address. The prefix
/// for local use, `64:ff9b:1::/48`, is refused, as where it has the IPv4 address is up to the site.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// The IPv6 addresses that are IPv4 addresses to the operating system.
const V4_MAPPED: Ipv6Net = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// One entry of the operator's list of what may be fetched from besides public addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// These addresses, under whatever name.
    Network(IpNet),
    /// Whatever this host name resolves to. In lower case, in ASCII, without a last dot.
    Host(String),
}

impl FromStr for Allowed {
    type Err = String;

    /// `10.1.0.0/16`, `fd00::/8`, `10.1.2.3` or `files.branch.example`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.to_canonical().into()));
        }
        if text.contains('/') {
            return network(text).map(Self::Network);
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) if is_plain(&name) => Ok(Self::Host(without_dot(&name).into())),
            _ => Err(format!(
                "{text:?} is neither a host name (without scheme and port), an IP address, nor a \
                 network such as 10.1.0.0/16."
            )),
        }
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    match text.parse() {
        Ok(IpNet::V6(network)) if V4_MAPPED.contains(&network) => {
            Err(format!("{text:?} is an IPv4 network in IPv6; write it as 10.1.0.0/16."))
        }
        Ok(network) => Ok(network),
        Err(_) => Err(format!("{text:?} is no network; expected one such as 10.1.0.0/16.")),
    }
}

/// Whether a name has only what host names have: a pattern such as `*.example` would match nothing.
fn is_plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    without_dot(name).split('.').all(|label| !label.is_empty() && label.chars().all(fits))
}

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Public addresses, and what is [`Allowed`].
#[derive(Clone, Debug)]
pub(super) struct Policy(pub(super) Vec<Allowed>);

impl Policy {
    /// Whether any address is fine that `name` resolves to.
    pub(super) fn permits_name(&self, name: &str) -> bool {
        let name = without_dot(name);
        self.0.iter().any(|it| matches!(it, Allowed::Host(host) if host.eq_ignore_ascii_case(name)))
    }

    /// Whether `address` is fine under any name.
    pub(super) fn permits_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let listed = |it: &Allowed| matches!(it, Allowed::Network(net) if net.contains(&address));
        is_public(address) || self.0.iter().any(listed)
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|special| special.contains(&address)),
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            is_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(address) => {
            GLOBAL_UNICAST.contains(&address)
                && !SPECIAL_V6.iter().any(|special| special.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str]) -> Policy {
        Policy(allowed.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn permits(allowed: &[&str], address: &str) -> bool {
        policy(allowed).permits_address(address.parse().unwrap())
    }

    #[test]
    fn special_addresses_are_refused() {
        let v4 = "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 \
            127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 \
            192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.1.1 192.175.48.1 \
            198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 \
            255.255.255.255";
        let v6 = ":: ::1 100::1 100:0:0:1::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 \
            2620:4f:8000::1 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1";
        let embedded = "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 \
            ::8.8.8.8 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::8.8.8.8 \
            2002:7f00:1:: 2002:808:808:: 2001::1 2001:0:808:808::f5ff:fffe";
        for address in [v4, v6, embedded].iter().flat_map(|list| list.split_whitespace()) {
            assert!(!permits(&[], address), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_permitted() {
        for address in "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 \
            172.15.255.255 172.32.0.0 192.0.1.0 198.20.0.0 223.255.255.255 168.63.129.17 \
            2001:200::1 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 \
            64:ff9b::8.8.8.8"
            .split_whitespace()
        {
            assert!(permits(&[], address), "{address}");
        }
    }

    #[test]
    fn listed_networks_and_addresses_are_permitted_and_no_more() {
        let allowed = ["10.1.0.0/16", "fd00:1::/32", "192.168.7.7", "::ffff:192.168.7.8"];
        for address in "10.1.255.1 ::ffff:10.1.0.1 fd00:1::5 192.168.7.7 192.168.7.8".split(' ') {
            assert!(permits(&allowed, address), "{address}");
        }
        for address in "10.2.0.1 fd00:2::5 192.168.7.9 ::10.1.0.1 64:ff9b::10.1.0.1".split(' ') {
            assert!(!permits(&allowed, address), "{address}");
        }
        assert!(!permits(&["::/0"], "::ffff:127.0.0.1"), "IPv6 allowed does not allow IPv4");
    }

    #[test]
    fn listed_names_are_permitted_exactly_whatever_their_case_and_last_dot() {
        let policy = policy(&["Files.Branch.example.", "bücher.example"]);
        for name in ["files.branch.example", "FILES.branch.example.", "xn--bcher-kva.example"] {
            assert!(policy.permits_name(name), "{name}");
        }
        for name in ["branch.example", "x.files.branch.example", "files.branch.example.org", ""] {
            assert!(!policy.permits_name(name), "{name}");
        }
    }

    #[test]
    fn anything_else_in_the_list_is_refused_in_a_sentence() {
        for text in "* *.example host:80 http://host host/path 10.0.0.0/33 10.1 0x7f.1 a..b . \
            ::ffff:10.0.0.0/104 user@host [::1]"
            .split_whitespace()
            .chain(["", "two words"])
        {
            let error = text.parse::<Allowed>().unwrap_err();
            assert!(error.ends_with('.') && error.contains("10.1.0.0/16"), "{text}: {error}");
        }
    }
}
