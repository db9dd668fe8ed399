//! A rehearsal as a picture: phases of each instance over requests, latency and errors; alone, or in a page with the
//! verdict.

mod chart;
mod page;

pub use chart::svg;
pub use page::html;

use std::fmt;
use std::fmt::Write as _;

/// Text in HTML and SVG: whatever is in it stays text.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bundle_says_stays_text() {
        assert_eq!(Text("<script>\"&\"</script>").to_string(), "&lt;script&gt;&quot;&amp;&quot;&lt;/script&gt;");
    }
}
