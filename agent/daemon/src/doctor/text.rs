//! Findings for people: a table, and below each line that is not well what puts it right.

use super::{Level, Line};

/// The lines of the table; `colour` for a terminal.
pub fn lines(found: &[Line], colour: bool) -> Vec<String> {
    let width = found.iter().map(|line| line.check.len()).max().unwrap_or_default();
    let mut text = Vec::new();
    for Line { check, level, why, fix } in found {
        let (word, tone) = match level {
            Level::Ok => ("ok", "32"),
            Level::Warning => ("warning", "33"),
            Level::Failed => ("FAILED", "31;1"),
        };
        let word = if colour { format!("\x1b[{tone}m{word:<8}\x1b[0m") } else { format!("{word:<8}") };
        text.push(format!("{word}{check:<width$}  {why}"));
        if let Some(fix) = fix {
            text.push(format!("{:8}{:width$}  fix: {fix}", "", ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_fix_stands_below_it() {
        let found = [
            Line::ok("role", "gives credentials"),
            Line::failed("SSM agent", "not installed", "pitcrew ensure ssm --via package"),
        ];
        let text = lines(&found, false).join("\n");
        let expected = "ok      role       gives credentials\n\
                        FAILED  SSM agent  not installed\n                   \
                        fix: pitcrew ensure ssm --via package";
        assert_eq!(text, expected);
    }
}
