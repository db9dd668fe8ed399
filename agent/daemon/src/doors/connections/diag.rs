//! Socket diagnostics over netlink: the kernel picks the sockets of one port out of many, and prints nothing.

use std::collections::BTreeMap;
use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};

use super::Tally;

/// One dump per port and family: an IPv4 connection to a listener for both families is in the IPv6 one.
pub(super) fn established(ports: &[u16]) -> io::Result<BTreeMap<u16, usize>> {
    let mut tally = Tally::of(ports);
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    for port in ports {
        for (family, mut id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            id.source_port = *port;
            ask(&socket, family, id)?;
            hear(&socket, &mut tally)?;
        }
    }
    Ok(tally.0)
}

fn ask(socket: &Socket, family: u8, socket_id: SocketId) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::ESTABLISHED,
        socket_id,
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

/// Reads datagrams, each with several messages, until the kernel says that this was all.
fn hear(socket: &Socket, tally: &mut Tally) -> io::Result<()> {
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    let id = &response.header.socket_id;
                    tally.add(id.source_port, id.source_address, id.destination_address);
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Overrun(_) => {
                    return Err(io::Error::other("the kernel dropped part of the answer"));
                }
                // Nothing that counts: padding, and answers to questions of others.
                _ => {}
            }
            // Messages are aligned to four bytes inside a datagram.
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
            rest = rest.get(length.next_multiple_of(4).max(16)..).unwrap_or_default();
        }
    }
}
