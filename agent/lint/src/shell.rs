//! Reads shell scripts for what they call: enough to see a stop, a metadata request or a shim, and no more.

use std::collections::BTreeMap;

/// One command line, with continuation lines joined and comments gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it begins, counted from 1.
    pub(crate) number: usize,
    /// Its text, with the variables that the script itself sets replaced by their values.
    pub(crate) text: String,
}

impl Line {
    /// The commands of the line, one a pipe or list member, each as words without `exec`, `sudo`, `then` and the like.
    pub(crate) fn commands(&self) -> Vec<Vec<&str>> {
        let separators: &[_] = &[';', '|', '&', '(', ')', '`', '{', '}'];
        let commands = self.text.split(separators).map(|command| {
            let mut words: Vec<_> = command.split_whitespace().map(unquote).collect();
            while let [first, rest @ ..] = words.as_slice() {
                let is_prefix = ["-", "exec", "sudo", "then", "do", "else", "if", "while", "!", "nohup", "$"];
                if is_prefix.contains(first) || (assignment(first).is_some() && !rest.is_empty()) {
                    words.remove(0);
                } else {
                    break;
                }
            }
            words
        });
        commands.filter(|words| !words.is_empty()).collect()
    }
}

/// The command lines of a script.
pub(crate) fn lines(script: &str) -> Vec<Line> {
    let mut variables = BTreeMap::new();
    let mut lines = Vec::new();
    let mut open: Option<Line> = None;
    for (number, raw) in (1..).zip(script.lines()) {
        let code = without_comment(raw.trim_end_matches('\r'));
        let (code, goes_on) = match code.trim_end().strip_suffix('\\') {
            Some(code) => (code, true),
            None => (code, false),
        };
        let line = open.get_or_insert_with(|| Line { number, text: String::new() });
        line.text.push_str(code);
        line.text.push(' ');
        if !goes_on {
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    for line in &mut lines {
        line.text = expanded(line.text.trim(), &variables);
        for word in line.text.split_whitespace() {
            if let Some((name, _)) = assignment(word) {
                // The value may hold blanks within quotes: it goes to the end of the line. What a command prints is
                // not known here.
                if let Some((_, value)) = line.text.split_once(&format!("{name}="))
                    && !value.contains("$(")
                    && !value.contains('`')
                    && value.len() <= LONGEST_VALUE
                {
                    variables.insert(name.to_owned(), unquote(value.trim()).to_owned());
                }
            }
        }
    }
    lines.retain(|line| !line.text.is_empty());
    lines
}

/// Whether a script calls `pitcrew hook` on any line that is not a comment.
pub(crate) fn calls_hook(script: &str) -> bool {
    lines(script).iter().any(|line| line.commands().iter().any(|words| is_hook_call(words)))
}

/// Whether a command is `pitcrew hook`, by whatever path and through whatever wrapper.
pub(crate) fn is_hook_call(words: &[&str]) -> bool {
    words.windows(2).any(|pair| program(pair[0]) == "pitcrew" && pair[1] == "hook")
}

/// The name of a program without its path.
pub(crate) fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// The words of the command that stops or restarts a running application, where one does.
pub(crate) fn stop(script: &str) -> Option<(usize, String)> {
    lines(script).into_iter().find_map(|line| {
        let stops = line.commands().into_iter().find(|words| stops(words)).map(|words| words.join(" "));
        stops.map(|command| (line.number, command))
    })
}

fn stops(words: &[&str]) -> bool {
    let [first, rest @ ..] = words else { return false };
    let has = |verbs: &[&str]| rest.iter().any(|word| verbs.contains(word));
    match program(first) {
        "systemctl" | "supervisorctl" | "initctl" | "rc-service" => {
            has(&["stop", "restart", "kill", "try-restart", "reload-or-restart"])
        }
        "service" | "monit" => has(&["stop", "restart"]),
        "docker" | "podman" | "nerdctl" | "docker-compose" => has(&["stop", "kill", "rm", "down", "restart"]),
        "pm2" | "forever" => has(&["stop", "delete", "kill", "restart", "reload", "stopall", "restartall"]),
        "apachectl" | "apache2ctl" => has(&["stop", "graceful-stop", "restart"]),
        "nginx" => has(&["stop", "quit"]),
        // Other signals ask for a reload, or nothing.
        "kill" => !has(&["-0", "-l", "-1", "-HUP", "-USR1", "-USR2", "HUP", "USR1", "USR2"]),
        "pkill" | "killall" | "shutdown.sh" | "start-stop-daemon" => true,
        // /etc/init.d/app stop, bin/catalina.sh stop
        other => (first.contains("/init.d/") || other.ends_with(".sh")) && has(&["stop", "restart"]),
    }
}

/// `NAME=value` as a word.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((name, value))
}

fn unquote(word: &str) -> &str {
    word.trim_matches(['"', '\''])
}

/// A line without its comment: a `#` at the start of a word, outside of quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return &line[..at],
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
        before = c;
    }
    line
}

/// What is longer says nothing that a rule looks for, and variables within variables must not grow without end.
const LONGEST_LINE: usize = 4096;
const LONGEST_VALUE: usize = 256;

fn expanded(text: &str, variables: &BTreeMap<String, String>) -> String {
    if text.len() > LONGEST_LINE || !text.contains('$') {
        return text.to_owned();
    }
    let mut expanded = text.to_owned();
    // The longest names first, so that $URL does not eat the start of $URL_BASE.
    let mut names: Vec<_> = variables.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in names {
        let value = &variables[name];
        expanded = expanded.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
        if expanded.len() > LONGEST_LINE * 4 {
            return text.to_owned();
        }
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_is_known_by_its_call_and_not_by_a_comment() {
        assert!(calls_hook("#!/bin/sh\nexec pitcrew hook\n"));
        assert!(calls_hook("/usr/bin/pitcrew hook --event BeforeInstall\n"));
        assert!(!calls_hook("# pitcrew hook comes first\nsystemctl stop app\n"));
    }

    #[test]
    fn a_stop_is_seen_in_every_common_dress() {
        for text in [
            "systemctl stop app",
            "sudo service app stop || true",
            "if x; then /usr/bin/pkill -f app; fi",
            "docker compose down",
            "/etc/init.d/app restart",
            "UNIT=app.service\nsystemctl stop \"$UNIT\"",
            "systemctl \\\n  stop app",
        ] {
            assert!(stop(text).is_some(), "{text}");
        }
        for text in ["systemctl start app", "# systemctl stop app", "echo stopping", "kill -0 1", "kill -s HUP $PID"] {
            assert!(stop(text).is_none(), "{text}");
        }
    }

    #[test]
    fn variables_of_variables_do_not_grow_without_end() {
        let script = "A=xxxxxxxx\n".to_owned() + &"A=$A$A\n".repeat(64) + &"$A".repeat(2000);
        assert!(lines(&script).iter().all(|line| line.text.len() <= LONGEST_LINE * 4));
    }

    #[test]
    fn a_variable_stands_for_what_the_script_set() {
        let lines = lines("A=http://x/latest # base\ncurl \"$A/meta-data\"\n");
        assert_eq!(lines[1], Line { number: 2, text: "curl \"http://x/latest/meta-data\"".into() });
    }
}
