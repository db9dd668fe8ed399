//! Tags and the metadata service: how an instance knows what it is, and who deploys to it.

use crate::group::Subject;
use crate::rule::{Check, Found, Rule, Severity};

pub(super) const CHECKS: &[Check<Subject>] = &[
    Check {
        rule: Rule {
            id: "EG040",
            name: "metadata-tags-off",
            severity: Severity::Warning,
            when: "the metadata service does not show the instance's tags",
            why: "Pitcrew finds its group by these tags; without them it needs ec2:DescribeTags for each look.",
        },
        find: metadata_tags_off,
    },
    Check {
        rule: Rule {
            id: "EG041",
            name: "tag-key-in-metadata",
            severity: Severity::Error,
            when: "the metadata service shows tags, and a key holds a blank, a slash, or another character that it cannot show",
            why: "EC2 refuses to launch the instance.",
        },
        find: tag_key_in_metadata,
    },
    Check {
        rule: Rule {
            id: "EG042",
            name: "reserved-tag-key",
            severity: Severity::Error,
            when: "a tag's key begins with `spotinst` or `aws:`",
            why: "These are Elastigroup's and AWS's own: launches fail.",
        },
        find: reserved_tag_key,
    },
    Check {
        rule: Rule {
            id: "EG043",
            name: "selected-at-launch",
            severity: Severity::Warning,
            when: "all tags that select instances for the deployment group are among the tags at launch (`--selecting-tag`)",
            why: "A deployment that begins meanwhile waits for an agent that is not installed yet, up to an hour, and then fails.",
        },
        find: selected_at_launch,
    },
    Check {
        rule: Rule {
            id: "EG044",
            name: "impossible-tags",
            severity: Severity::Error,
            when: "there are more than 45 tags, a key is empty, longer than 128 characters or given twice, or a value is longer than 256",
            why: "EC2 refuses to launch the instance: it takes 50 tags, and Elastigroup adds its own.",
        },
        find: impossible_tags,
    },
    Check {
        rule: Rule {
            id: "EG045",
            name: "imds-without-token-allowed",
            severity: Severity::Note,
            when: "the metadata service answers without a token (`httpTokens` is not required)",
            why: "Whoever makes the application fetch a URL gets the credentials of the instance's role.",
        },
        find: imds_without_token_allowed,
    },
];

fn metadata_tags_off(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let pointer = match &group.metadata_tags {
        Some(at) if at.value.eq_ignore_ascii_case("enabled") => return Vec::new(),
        Some(at) => &at.pointer,
        None if group.is_unknown("metadata_options") => return Vec::new(),
        None => &group.at.launch,
    };
    let word = group.word("metadataOptions.instanceMetadataTags");
    vec![Found::new(subject.at(pointer), format!("{word} is not enabled."), format!("Set {word} to \"enabled\"."))]
}

fn tag_key_in_metadata(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    if !group.metadata_tags.as_ref().is_some_and(|at| at.value.eq_ignore_ascii_case("enabled")) {
        return Vec::new();
    }
    let is_shown = |key: &str| {
        let chars = key.chars().all(|c| c.is_ascii_alphanumeric() || "+-=.,_:@".contains(c));
        chars && !matches!(key, "." | ".." | "_index")
    };
    let wrong = group.tags.iter().filter(|tag| !is_shown(&tag.key));
    wrong
        .map(|tag| {
            let message = format!("The key is `{}`.", tag.key);
            Found::new(
                subject.at(&tag.pointer),
                message,
                "Use letters, digits and + - = . , _ : @ only, or disable tags in metadata.",
            )
        })
        .collect()
}

fn reserved_tag_key(subject: &Subject) -> Vec<Found> {
    let is_reserved = |key: &str| {
        let key = key.to_ascii_lowercase();
        key.starts_with("spotinst") || key.starts_with("aws:")
    };
    let wrong = subject.group.tags.iter().filter(|tag| is_reserved(&tag.key));
    wrong
        .map(|tag| {
            Found::new(
                subject.at(&tag.pointer),
                format!("The key is `{}`.", tag.key),
                "Give it another beginning, or take the tag out.",
            )
        })
        .collect()
}

fn selected_at_launch(subject: &Subject) -> Vec<Found> {
    let selecting = &subject.options.selecting_tags;
    let tag_of = |(key, value): &(String, String)| {
        subject.group.tags.iter().find(|tag| tag.key == *key && (tag.value == *value || value.is_empty()))
    };
    let at_launch: Option<Vec<_>> = selecting.iter().map(tag_of).collect();
    let Some(first) = at_launch.as_deref().and_then(<[_]>::first) else { return Vec::new() };
    let told: Vec<_> = selecting.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let message =
        format!("The deployment group selects by {}, which every instance has from its launch on.", told.join(" and "));
    let fix = "Let the deployment group also ask for pitcrew:ready=true, which the bootstrap sets last.";
    vec![Found::new(subject.at(&first.pointer), message, fix)]
}

/// EC2 takes 50; Elastigroup's own, and those of the bootstrap, must fit.
const MOST: usize = 45;

fn impossible_tags(subject: &Subject) -> Vec<Found> {
    let tags = &subject.group.tags;
    let flaw = |index: usize, key: &str, value: &str| {
        if key.is_empty() {
            Some("It has no key.".to_owned())
        } else if key.chars().count() > 128 {
            Some(format!("Its key has {} characters.", key.chars().count()))
        } else if value.chars().count() > 256 {
            Some(format!("Its value has {} characters.", value.chars().count()))
        } else if tags.iter().take(index).any(|before| before.key == key) {
            Some(format!("The key `{key}` is there before."))
        } else {
            (index == MOST).then(|| format!("There are {} tags.", tags.len()))
        }
    };
    let wrong = tags.iter().enumerate().filter_map(|(index, tag)| Some((tag, flaw(index, &tag.key, &tag.value)?)));
    wrong.map(|(tag, message)| Found::new(subject.at(&tag.pointer), message, "Shorten it, or take it out.")).collect()
}

fn imds_without_token_allowed(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let pointer = match &group.http_tokens {
        Some(at) if at.value.eq_ignore_ascii_case("required") => return Vec::new(),
        Some(at) => &at.pointer,
        None if group.is_unknown("metadata_options") => return Vec::new(),
        None => &group.at.launch,
    };
    let word = group.word("metadataOptions.httpTokens");
    vec![Found::new(
        subject.at(pointer),
        format!("{word} is not required."),
        format!("Set {word} to \"required\"; Pitcrew always uses tokens."),
    )]
}
