//! A report for people, programs and code scanners; and the page of all rules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod bundles;

use std::fs;
use std::path::Path;

use bundles::good;
use expect_test::{expect, expect_file};
use pitcrew_lint::group::{Options, lint};
use pitcrew_lint::report::Style;
use pitcrew_lint::{Report, Severity, page};

fn report() -> Report {
    let bundle = good()
        .with("scripts/start.sh", "#!/bin/sh\nnohup /opt/app/run &\n")
        .replacing("appspec.yml", "  AfterInstall:\n    - {location: scripts/pitcrew-hook.sh, timeout: 60}\n", "")
        .replacing("appspec.yml", "os: linux", "os: windows");
    let mut report = bundle.check();
    report.subject = "bundle ./shop".to_owned();
    report
}

#[test]
fn for_people_it_is_a_table_with_why_and_fix() {
    expect![[r#"
        bundle ./shop: 1 error, 1 warning, 1 note

        error    AS004  appspec.yml:2  wrong-os
                  os is `windows`.
                  why: CodeDeploy's agent on linux fails the deployment.
                  fix: Write `os: linux`: Pitcrew is for linux.

        warning  AS026  scripts/start.sh:2  background-process
                  `scripts/start.sh` leaves `nohup /opt/app/run &` behind.
                  why: It ends with CodeDeploy's agent, whose control group it is in; and one that
                       keeps the output open fails the event at its timeout.
                  fix: Make it a unit and call `systemctl start`, or `systemd-run`.

        note     AS045  appspec.yml:7  no-shim-in-between
                  No script of AfterInstall calls `pitcrew hook`.
                  why: Each call says that the deployment lives; without them the agent has to ask
                       CodeDeploy, or to guess.
                  fix: Let `pitcrew appspec init` add it.
    "#]]
    .assert_eq(&report().to_text(Style { width: 90, color: false }));
    let clean = Report { subject: "bundle ./shop".to_owned(), findings: Vec::new() };
    assert_eq!(clean.to_text(Style::default()), "bundle ./shop: nothing to mend\n");
    let colored = report().to_text(Style { width: 90, color: true });
    assert!(colored.contains("\u{1b}[31merror  \u{1b}[0m  AS004"), "{colored}");
}

#[test]
fn for_programs_it_is_one_object() {
    let json = report().to_json();
    assert_eq!(json["worst"], "error");
    let finding = &json["findings"][0];
    assert_eq!(
        (&finding["rule"], &finding["severity"], &finding["line"]),
        (&"AS004".into(), &"error".into(), &2.into())
    );
    for key in ["name", "file", "message", "why", "fix"] {
        assert!(finding[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {finding}");
    }
    let clean = Report { subject: String::new(), findings: Vec::new() };
    assert!(clean.to_json()["worst"].is_null());
}

#[test]
fn for_code_scanners_it_is_sarif() {
    expect![[r#"
        {
          "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
          "runs": [
            {
              "columnKind": "unicodeCodePoints",
              "results": [
                {
                  "level": "error",
                  "locations": [
                    {
                      "physicalLocation": {
                        "artifactLocation": {
                          "uri": "appspec.yml"
                        },
                        "region": {
                          "startLine": 2
                        }
                      }
                    }
                  ],
                  "message": {
                    "text": "os is `windows`. CodeDeploy's agent on linux fails the deployment. Fix: Write `os: linux`: Pitcrew is for linux."
                  },
                  "ruleId": "AS004",
                  "ruleIndex": 0
                },
                {
                  "level": "warning",
                  "locations": [
                    {
                      "physicalLocation": {
                        "artifactLocation": {
                          "uri": "scripts/start.sh"
                        },
                        "region": {
                          "startLine": 2
                        }
                      }
                    }
                  ],
                  "message": {
                    "text": "`scripts/start.sh` leaves `nohup /opt/app/run &` behind. It ends with CodeDeploy's agent, whose control group it is in; and one that keeps the output open fails the event at its timeout. Fix: Make it a unit and call `systemctl start`, or `systemd-run`."
                  },
                  "ruleId": "AS026",
                  "ruleIndex": 1
                },
                {
                  "level": "note",
                  "locations": [
                    {
                      "physicalLocation": {
                        "artifactLocation": {
                          "uri": "appspec.yml"
                        },
                        "region": {
                          "startLine": 7
                        }
                      }
                    }
                  ],
                  "message": {
                    "text": "No script of AfterInstall calls `pitcrew hook`. Each call says that the deployment lives; without them the agent has to ask CodeDeploy, or to guess. Fix: Let `pitcrew appspec init` add it."
                  },
                  "ruleId": "AS045",
                  "ruleIndex": 2
                }
              ],
              "tool": {
                "driver": {
                  "name": "pitcrew",
                  "rules": [
                    {
                      "defaultConfiguration": {
                        "level": "error"
                      },
                      "fullDescription": {
                        "text": "CodeDeploy's agent on linux fails the deployment."
                      },
                      "id": "AS004",
                      "name": "wrong-os",
                      "shortDescription": {
                        "text": "Reported when `os` is missing or is not linux."
                      }
                    },
                    {
                      "defaultConfiguration": {
                        "level": "warning"
                      },
                      "fullDescription": {
                        "text": "It ends with CodeDeploy's agent, whose control group it is in; and one that keeps the output open fails the event at its timeout."
                      },
                      "id": "AS026",
                      "name": "background-process",
                      "shortDescription": {
                        "text": "Reported when a script leaves a process in the background."
                      }
                    },
                    {
                      "defaultConfiguration": {
                        "level": "note"
                      },
                      "fullDescription": {
                        "text": "Each call says that the deployment lives; without them the agent has to ask CodeDeploy, or to guess."
                      },
                      "id": "AS045",
                      "name": "no-shim-in-between",
                      "shortDescription": {
                        "text": "Reported when AfterInstall or ApplicationStart has no shim."
                      }
                    }
                  ],
                  "semanticVersion": "0.1.0"
                }
              }
            }
          ],
          "version": "2.1.0"
        }
    "#]].assert_eq(&format!("{:#}\n", report().to_sarif()));
}

/// The members that SARIF 2.1.0 requires, of a report in which every kind of place occurs.
#[test]
fn sarif_has_all_that_its_schema_requires() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/elastigroup/sample.json");
    let report = lint(&fs::read_to_string(path).unwrap(), "sample.json", &Options::default()).unwrap();
    let sarif = report.to_sarif();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let driver = &run["tool"]["driver"];
    assert!(driver["name"].is_string());
    let rules = driver["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), report.findings.len());
    for result in results {
        assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{result}");
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()), "{result}");
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "sample.json");
        assert!(
            place["region"]["startLine"].as_u64().is_none_or(|line| line >= 1),
            "lines are counted from 1: {result}"
        );
    }
}

#[test]
fn what_a_person_lives_with_is_left_out() {
    let report = report().without(&["as004".to_owned(), "AS026".to_owned()]);
    assert_eq!(report.worst(), Some(Severity::Note));
}

#[test]
fn the_page_of_the_rules_is_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
    assert!(fs::exists(path.parent().unwrap()).unwrap());
    expect_file![path].assert_eq(&page());
}
