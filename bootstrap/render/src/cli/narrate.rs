//! Tells the operator how the pinning goes: a line that grows on a terminal, finished lines elsewhere.

use std::io::{self, IsTerminal as _, Write};

use crate::pins::News;

pub(super) struct Narrator<'a> {
    news: &'a mut dyn Write,
    live: bool,
    /// Whether the last line is a progress that may be overwritten.
    open: bool,
}

impl<'a> Narrator<'a> {
    pub(super) fn new(news: &'a mut dyn Write) -> Self {
        Self { news, live: io::stderr().is_terminal(), open: false }
    }

    /// What cannot be told does not stop the rendering.
    pub(super) fn tell(&mut self, news: News<'_>) {
        const OVERWRITE: &str = "\r\x1b[K";
        let start = if self.open { OVERWRITE } else { "" };
        match news {
            News::Fetching { .. } if self.live => {
                let _ = write!(self.news, "{start}{news}").and_then(|()| self.news.flush());
                self.open = true;
            }
            News::Fetching { progress, .. } => {
                if progress.total == Some(progress.received) {
                    let _ = writeln!(self.news, "{news}");
                }
            }
            News::Latest { .. } | News::Verified { .. } | News::Pinned { .. } => {
                let _ = writeln!(self.news, "{start}{news}");
                self.open = false;
            }
        }
    }
}
