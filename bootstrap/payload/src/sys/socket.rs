//! TCP over IPv4, with a time limit on everything.

use super::{call3, call5, checked, file::File, number, time::Timespec};

const IPV4: usize = 2;
const STREAM: usize = 1;
const CLOSE_ON_EXEC: usize = 0o2_000_000;
const LEVEL_SOCKET: usize = 1;
const RECEIVE_TIMEOUT: usize = 20;
const SEND_TIMEOUT: usize = 21;

/// Connects to `address` (as four bytes) and `port`. Connecting, each read and each write fail
/// after `timeout_ms`.
pub fn connect(address: [u8; 4], port: u16, timeout_ms: u64) -> Option<File> {
    // SAFETY: the call takes numbers only.
    let socket = File(checked(unsafe { call3(number::SOCKET, IPV4, STREAM | CLOSE_ON_EXEC, 0) })?);
    // A `timeval` has microseconds where a `timespec` has nanoseconds.
    let mut timeout = Timespec::of_millis(timeout_ms);
    timeout.nanoseconds /= 1000;
    let limit = |option| {
        let value = (&raw const timeout) as usize;
        // SAFETY: the pointer is to a `timeval` of this length that lives through the call.
        unsafe { call5(number::SETSOCKOPT, socket.0, LEVEL_SOCKET, option, value, size_of::<Timespec>()) };
    };
    limit(RECEIVE_TIMEOUT);
    limit(SEND_TIMEOUT);
    let [high, low] = port.to_be_bytes();
    let [a, b, c, d] = address;
    let name: [u8; 16] = [IPV4 as u8, 0, high, low, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the pointer is to a `sockaddr_in`, 16 bytes, that lives through the call.
    checked(unsafe { call3(number::CONNECT, socket.0, name.as_ptr() as usize, name.len()) })?;
    Some(socket)
}
