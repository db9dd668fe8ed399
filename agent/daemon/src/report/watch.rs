//! Follows the status: redraws in place at a terminal, writes what is new elsewhere.

use std::fmt::Write as _;

/// What takes the text of one look after the other.
#[derive(Debug)]
pub enum Screen {
    /// A terminal: each look replaces the one before.
    Terminal,
    /// A pipe or a file: lines that the look before did not have.
    Stream {
        /// The look before.
        before: Vec<String>,
    },
}

/// Leaves the terminal as it was: the cursor shown, the other screen gone.
pub const RESTORE: &str = "\x1b[?25h\x1b[?1049l";

/// Takes the other screen of the terminal, and hides the cursor.
pub const PREPARE: &str = "\x1b[?1049h\x1b[?25l";

impl Screen {
    /// What to write to show `lines`; `size` is the terminal's, columns and rows.
    pub fn show(&mut self, lines: Vec<String>, size: (u16, u16)) -> String {
        match self {
            Screen::Terminal => frame(&lines, size),
            Screen::Stream { before } => {
                let news = lines.iter().filter(|line| !line.is_empty() && !before.contains(line));
                let news = news.fold(String::new(), |news, line| news + line + "\n");
                *before = lines;
                news
            }
        }
    }
}

/// The terminal's columns and rows, 80 by 24 where nobody knows.
pub(crate) fn terminal_size() -> (u16, u16) {
    terminal_size::terminal_size().map_or((80, 24), |(width, height)| (width.0, height.0))
}

/// Overwrites the screen without clearing it first, which would flicker. The last row stays free of a newline, and
/// says when there is more.
fn frame(lines: &[String], (columns, rows): (u16, u16)) -> String {
    let (columns, rows) = (usize::from(columns.max(1)), usize::from(rows.max(1)));
    let more = lines.len().saturating_sub(rows);
    let shown = if more == 0 { lines.len() } else { rows - 1 };
    let mut frame = "\x1b[H".to_owned();
    for line in lines.iter().take(shown) {
        let _ = write!(frame, "{}\x1b[K\r\n", cut(line, columns));
    }
    if more > 0 {
        let _ = write!(frame, "{}\x1b[K", cut(&format!("… {} more lines", lines.len() - shown), columns));
    }
    // A newline after the last row would scroll.
    if more == 0 && shown == rows {
        frame.truncate(frame.len() - "\r\n".len());
    }
    frame + "\x1b[J"
}

fn cut(line: &str, columns: usize) -> String {
    match line.char_indices().nth(columns) {
        None => line.to_owned(),
        Some(_) => line.chars().take(columns.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_terminal_is_overwritten_from_its_corner() {
        let shown = Screen::Terminal.show(text(&["in traffic", "", "targets"]), (80, 24));
        assert_eq!(shown, "\x1b[Hin traffic\x1b[K\r\n\x1b[K\r\ntargets\x1b[K\r\n\x1b[J");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_counted() {
        let shown = Screen::Terminal.show(text(&["a sentence too long", "two", "three", "four"]), (14, 3));
        assert_eq!(shown, "\x1b[Ha sentence to…\x1b[K\r\ntwo\x1b[K\r\n… 2 more lines\x1b[K\x1b[J");
    }

    #[test]
    fn a_screen_that_is_just_full_does_not_scroll() {
        let shown = Screen::Terminal.show(text(&["one", "two"]), (80, 2));
        assert_eq!(shown, "\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J");
    }

    #[test]
    fn a_pipe_gets_each_change_once() {
        let mut screen = Screen::Stream { before: Vec::new() };
        assert_eq!(screen.show(text(&["in traffic", "", "targets"]), (80, 24)), "in traffic\ntargets\n");
        assert_eq!(screen.show(text(&["in traffic", "", "targets"]), (80, 24)), "");
        assert_eq!(screen.show(text(&["out of traffic", "", "targets"]), (80, 24)), "out of traffic\n");
        assert_eq!(screen.show(text(&["in traffic", "", "targets"]), (80, 24)), "in traffic\n");
    }
}
