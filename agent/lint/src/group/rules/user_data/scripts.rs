//! What the scripts in the user data do.

use crate::group::Subject;
use crate::rule::{Check, Found, Rule, Severity};
use crate::shell::{self, Line, program};

pub(in crate::group::rules) const CHECKS: &[Check<Subject>] = &[
    Check {
        rule: Rule {
            id: "EG026",
            name: "imds-without-token",
            severity: Severity::Error,
            when: "tokens are required, and a script asks the metadata service without one",
            why: "The metadata service answers 401, and the script goes on with an empty value.",
        },
        find: imds_without_token,
    },
    Check {
        rule: Rule {
            id: "EG027",
            name: "other-regions-bucket",
            severity: Severity::Warning,
            when: "a script fetches an agent from another region's bucket than the group's",
            why: "It is slower, costs transfer, and fails where the network lets only the own region's endpoints out.",
        },
        find: other_regions_bucket,
    },
    Check {
        rule: Rule {
            id: "EG028",
            name: "wrong-architecture",
            severity: Severity::Error,
            when: "a script fetches packages for x86, and instance types have Graviton processors, or the other way around",
            why: "The package cannot be installed, and the agent never runs.",
        },
        find: wrong_architecture,
    },
    Check {
        rule: Rule {
            id: "EG029",
            name: "tags-before-agent",
            severity: Severity::Warning,
            when: "a script tags the instance before it installs the CodeDeploy agent",
            why: "A deployment that selects the tag waits for an agent that does not run yet, and fails.",
        },
        find: tags_before_agent,
    },
    Check {
        rule: Rule {
            id: "EG030",
            name: "plain-http-download",
            severity: Severity::Warning,
            when: "a script fetches something over plain HTTP",
            why: "Whoever is on the way decides what runs as root.",
        },
        find: plain_http_download,
    },
];

/// Each line of each script that the instance runs or is told to run, for which `look` has something to say.
fn lines(subject: &Subject, look: impl Fn(&Line) -> Option<(String, String)>) -> Vec<Found> {
    let scripts =
        subject.scripts().flat_map(|(name, text)| shell::lines(text).into_iter().map(move |line| (name, line)));
    scripts
        .filter_map(|(name, line)| {
            let (message, fix) = look(&line)?;
            Some(Found::new(subject.in_user_data(format!("{name}, line {}", line.number)), message, fix))
        })
        .collect()
}

fn has_fetcher(line: &Line) -> bool {
    let fetchers = ["curl", "wget", "http", "fetch", "python", "python3"];
    line.commands().iter().any(|words| words.iter().any(|word| fetchers.contains(&program(word))))
}

/// A long line of base64 would only slow things down and says nothing.
fn shown(line: &Line) -> String {
    line.text.chars().take(100).collect()
}

fn imds_without_token(subject: &Subject) -> Vec<Found> {
    if !subject.group.http_tokens.as_ref().is_some_and(|at| at.value.eq_ignore_ascii_case("required")) {
        return Vec::new();
    }
    lines(subject, |line| {
        let text = line.text.to_ascii_lowercase();
        let asks = ["169.254.169.254", "instance-data/", "[fd00:ec2::254]"].iter().any(|host| text.contains(host));
        let with_token = text.contains("x-aws-ec2-metadata-token") || text.contains("/api/token");
        let is_wrong = asks && !with_token && has_fetcher(line);
        is_wrong.then(|| {
            let fix = "Fetch a token first: T=$(curl -sX PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' \
                       http://169.254.169.254/latest/api/token), and send it: -H \"X-aws-ec2-metadata-token: $T\".";
            (format!("`{}`", shown(line)), fix.to_owned())
        })
    })
}

fn other_regions_bucket(subject: &Subject) -> Vec<Found> {
    let Some(region) = subject.group.region.as_ref().map(|at| at.value.as_str()) else { return Vec::new() };
    lines(subject, |line| {
        let bucket = ["aws-codedeploy-", "amazon-ssm-"].iter().find_map(|prefix| {
            let (_, behind) = line.text.split_once(prefix)?;
            let name: String = behind.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            looks_like_region(&name).then_some(name)
        })?;
        let message = format!("It fetches from {bucket}; the group is in {region}.");
        let fix = "Ask the metadata service for the region, as `pitcrew user-data` does, and use its bucket.";
        (bucket != region).then(|| (message, fix.to_owned()))
    })
}

/// `eu-west-1`, `us-gov-east-1`: letters in groups, and a number at the end.
fn looks_like_region(name: &str) -> bool {
    let words: Vec<_> = name.split('-').collect();
    let [start @ .., end] = words.as_slice() else { return false };
    (2..=3).contains(&start.len())
        && !end.is_empty()
        && end.chars().all(|c| c.is_ascii_digit())
        && start.iter().all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()))
}

fn wrong_architecture(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let spot = group.spot_types.iter().flat_map(|at| at.value.iter().map(String::as_str));
    let types: Vec<&str> = spot.chain(group.ondemand_type.iter().map(|at| at.value.as_str())).collect();
    let names = ["linux_amd64", "debian_amd64", "linux_arm64", "debian_arm64"];
    // A script that knows both asks which one it is on.
    let has = |architecture: &str| subject.scripts().any(|(_, text)| text.contains(architecture));
    if has("_amd64/") && has("_arm64/") {
        return Vec::new();
    }
    lines(subject, |line| {
        let name = names.into_iter().find(|name| line.text.contains(&format!("/{name}/")))?;
        let wants_graviton = name.ends_with("arm64");
        let wrong = types.iter().find(|name| is_graviton(name) != wants_graviton)?;
        let message = format!("It fetches a package for {name}, and {wrong} is one of the instance types.");
        Some((message, "Choose by `uname -m`, as `pitcrew user-data --arch both` does.".to_owned()))
    })
}

/// Graviton families have a `g` behind their generation: m6g, c7gn, t4g; and there is a1.
fn is_graviton(instance_type: &str) -> bool {
    let family = instance_type.split('.').next().unwrap_or_default();
    let behind =
        family.trim_start_matches(|c: char| !c.is_ascii_digit()).trim_start_matches(|c: char| c.is_ascii_digit());
    family == "a1" || behind.starts_with('g')
}

fn tags_before_agent(subject: &Subject) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, text) in subject.scripts() {
        let lines = shell::lines(text);
        let installs = lines.iter().position(|line| line.text.contains("codedeploy"));
        let tags = lines.iter().position(|line| line.text.contains("create-tags"));
        if let (Some(installs), Some(tags)) = (installs, tags)
            && tags < installs
            && let Some(line) = lines.get(tags)
        {
            let place = subject.in_user_data(format!("{name}, line {}", line.number));
            found.push(Found::new(place, format!("`{}`", shown(line)), "Tag last, once both agents run."));
        }
    }
    found
}

fn plain_http_download(subject: &Subject) -> Vec<Found> {
    lines(subject, |line| {
        let url = line
            .text
            .split(|c: char| c.is_whitespace() || "\"'()".contains(c))
            .find(|word| word.starts_with("http://"))?;
        let host = url.trim_start_matches("http://");
        let is_near = ["169.254.169.254", "127.0.0.1", "localhost", "instance-data", "[fd00:ec2::254]", "$"];
        if is_near.iter().any(|near| host.starts_with(near)) || !has_fetcher(line) {
            return None;
        }
        Some((format!("It fetches {url}."), "Use https, and check a digest.".to_owned()))
    })
}
