//! Lines from a stream, none longer than a limit.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Reads lines; what is read but not yet a line stays here, so waiting for one can be given up at any time.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that hold no newline.
    scanned: usize,
    limit: usize,
}

/// Why there is no further line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The stream broke, or ended in the middle of a line.
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// The other side wrote more than the limit without a newline.
    #[error("the line is longer than {0} bytes")]
    TooLong(usize),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads from `source`; `limit` counts bytes without the newline.
    pub fn new(source: R, limit: usize) -> Self {
        Self { source, buffer: Vec::new(), scanned: 0, limit }
    }

    /// The next line without its newline; `None` where the stream ends after a whole line. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        loop {
            let fresh = self.buffer.iter().skip(self.scanned);
            if let Some(more) = fresh.into_iter().position(|byte| *byte == b'\n') {
                let end = self.scanned + more;
                let rest = self.buffer.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.truncate(end);
                self.scanned = 0;
                return match end > self.limit {
                    true => Err(LineError::TooLong(self.limit)),
                    false => Ok(Some(line)),
                };
            }
            self.scanned = self.buffer.len();
            if self.scanned > self.limit {
                return Err(LineError::TooLong(self.limit));
            }
            self.buffer.reserve(1024);
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
    }
}
