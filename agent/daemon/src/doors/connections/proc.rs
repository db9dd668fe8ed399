//! `/proc/net/tcp` and `tcp6`: the whole table as text, where socket diagnostics cannot be asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fs, io};

use super::Tally;

const ESTABLISHED: &str = "01";

pub(super) fn established(ports: &[u16]) -> io::Result<BTreeMap<u16, usize>> {
    let mut tally = Tally::of(ports);
    count(&fs::read_to_string("/proc/net/tcp")?, &mut tally)?;
    match fs::read_to_string("/proc/net/tcp6") {
        Ok(table) => count(&table, &mut tally)?,
        // A host without IPv6 has no such table.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(tally.0)
}

/// Below a line of titles, each line is `sl local:port remote:port state …`.
fn count(table: &str, tally: &mut Tally) -> io::Result<()> {
    for line in table.lines().skip(1) {
        let unreadable = || {
            let text = format!("`{line}` is no line of a TCP table");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(remote), Some(state)) = (words.next(), words.next(), words.next()) else {
            return Err(unreadable());
        };
        if state == ESTABLISHED {
            let (local, port) = endpoint(local).ok_or_else(unreadable)?;
            let (remote, _) = endpoint(remote).ok_or_else(unreadable)?;
            tally.add(port, local, remote);
        }
    }
    Ok(())
}

/// `0100007F:1F90`: the address as 32-bit words in the host's byte order, the port as a number.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        let word = u32::from_str_radix(digits, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (at, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn endpoints_are_read_in_the_hosts_byte_order() {
        let v4 = ("127.0.0.1".parse().unwrap(), 8080);
        assert_eq!(endpoint("0100007F:1F90"), Some(v4));
        let v6 = ("fd00:ec2::254".parse().unwrap(), 80);
        assert_eq!(endpoint("C20E00FD000000000000000054020000:0050"), Some(v6), "each word is swapped by itself");
    }

    #[test]
    fn a_table_that_is_none_is_an_error_and_not_zero() {
        for table in ["titles\ngarbage", "titles\n0: xyz:1 00000000:0 01"] {
            let error = count(table, &mut Tally::of(&[80])).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{table}");
        }
    }
}
